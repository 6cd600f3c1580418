"""The op that moves what is due to where workers see it, and tells when to look again."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jobq.store import keys
from jobq.store.keys import HELD_MS
from jobq.store.wire import Op, Script, call, text

#: Of what is due, how many are looked at in one step: 1 ms or two of Redis when all are moved. The
#: first of thousands that are due at one moment wait for no more than that.
PAGE: Final = 250

#: Bytes of calls after which a step moves no more: some ms of Redis.
MOST_BYTES: Final = 1024 * 1024

_PROMOTE = Script("promote")


class Cursor(NamedTuple):
    """How far what is due has been looked at.

    What waits there for workers can be many thousands, and delayed jobs only ever come after it:
    so whoever looks goes on where it was, and need not walk through all of it each time.

    Attributes:
        time: the time of the last one, Redis time in ms, as Redis writes it.
        skip: how many of exactly that time have been looked at.
    """

    time: str = "-inf"
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Promoted:
    """What `promote` did and saw.

    Attributes:
        now_ms: Redis time.
        ready: the letters of what is due and for workers to take, see `jobq.store.ops.fetch`.
        next_due_ms: when the next thing of any kind is due, Redis time in ms; None: nothing is.
        moved: how many jobs were moved.
        lost: how many had no call any more, so that they were dropped.
        more: there may be more to move at once.
        cursor: for the next time.
        lines: which lines are in use beside the normal one, see `jobq.runtime.board`.
    """

    now_ms: int
    ready: str
    next_due_ms: int | None
    moved: int
    lost: int
    more: bool
    cursor: Cursor
    lines: int = 0


def promote(queue: str, cursor: Cursor | None = None, count: int = PAGE) -> Op[Promoted]:
    """Move delayed jobs that are due, a bounded batch of them.

    Args:
        cursor: how far it was looked at the last time; None: look from the start.
        count: of what is due, how many to look at.
    """
    every = (
        keys.due(queue),
        keys.delayed(queue),
        keys.index(queue),
        keys.jobs(queue),
        *keys.other_jobs(queue),
    )
    time, skip = cursor or Cursor()
    return call(_PROMOTE, every, (count, time, skip, HELD_MS, MOST_BYTES), _promoted)


def _promoted(reply: Any) -> Promoted:
    now, ready, after, moved, lost, more, time, skip, lines = reply
    cursor = Cursor(text(time), int(skip))
    next_due = None if after < 0 else int(after)
    return Promoted(now, text(ready), next_due, moved, lost, bool(more), cursor, lines)
