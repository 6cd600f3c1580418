"""How a pause is told, wherever jobs wait because of it."""

from datetime import datetime

from jobq.cli.output import ago, utc
from jobq.client.rows import Pause


def pause_text(pause: Pause, now: datetime | None = None) -> str:
    """Say since when something is paused, by whom, until when, and why.

    Args:
        now: tells how long ago; None: the time of day is told.
    """
    words = [f"since {utc(pause.since)}" if now is None else ago(pause.since, now)]
    if pause.by:
        words.append(f"by {pause.by}")
    if pause.until is not None:
        words.append(f"until {utc(pause.until)}")
    if pause.job is not None:
        words.insert(0, f"{pause.job},")
    return " ".join(words) + (f": {pause.reason}" if pause.reason else "")
