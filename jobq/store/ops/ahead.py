"""Ops that count what is in front of a job. None writes anything."""

from typing import Any

from jobq.store import keys
from jobq.store.keys import GROUP
from jobq.store.wire import Op, Script, call, text

_AHEAD = Script("ahead")

#: Entries in one page: Redis reads them whole.
PAGE = 500


def waiting(line: str, *, after: str = "", stop: str = "") -> Op[tuple[int, str]]:
    """Count the jobs of a line that no worker has taken yet, up to `PAGE` of them.

    Args:
        after: the last entry of the page before; empty: the first page.
        stop: the entry before which to stop; empty: at the end.

    Returns:
        The op; its answer is how many there are, and the last one of them.
    """
    return call(_AHEAD, (keys.jobs(line),), (GROUP, after, stop, PAGE), _counted)


def due_before(queue: str, ms: float) -> Op[int]:
    """Count the retries that became due before a moment, Redis time in ms."""
    return Op(("ZCOUNT", keys.due(queue), "-inf", f"({ms:.0f}"), int)


def _counted(reply: Any) -> tuple[int, str]:
    return int(reply[0]), text(reply[1])
