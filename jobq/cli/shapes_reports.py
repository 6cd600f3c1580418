"""What `--json` writes of progress and log lines. See `jobq.cli.shapes`."""

from jobq.cli.shapes import Object, instant
from jobq.core.reports import LogLine, Progress


def progress(found: Progress | None) -> Object | None:
    """Return the object of a progress; None: there is none."""
    if found is None:
        return None
    return {
        "fraction": found.fraction,
        "note": found.note,
        "attempt": found.attempt,
        "at": instant(found.at),
    }


def line(found: LogLine) -> Object:
    """Return the object of a log line."""
    return {
        "id": found.id,
        "at": instant(found.at),
        "attempt": found.attempt,
        "level": found.level,
        "text": found.text,
    }
