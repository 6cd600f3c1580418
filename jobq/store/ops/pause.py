"""Ops of pauses: of a queue, or of one job function in it."""

from dataclasses import dataclass
from typing import Any, Final

from jobq.core.pauses import PauseRecord, field_of, pack_words, read_record
from jobq.store import keys
from jobq.store.keys import HELD_MS
from jobq.store.wire import Op, Script, call, pairs, text

#: Pauses that a queue may have: a supervisor reads all of them many times a second.
MOST: Final = 500

#: The delay of a job that is put aside, in seconds.
HELD_FOR: Final = HELD_MS / 1000

#: Held jobs that are given free in one step.
PAGE: Final = 500

#: ms after a resume at which held jobs are given free: at once, and then those that workers have
#: put aside which had not heard of it. One that is stuck for longer than its lease is refused.
_FREED: Final = (0, 200, 2_000, 60_000)

_PAUSE = Script("pause")
_RESUME = Script("resume")
_PAUSES = Script("pauses")
_PAUSED = Script("paused")

#: What `pause` can answer.
TOO_MANY, IS_OVER, PAUSED, CHANGED = -1, 0, 1, 2


@dataclass(frozen=True, slots=True)
class Looked:
    """What `look` came to.

    Attributes:
        now_ms: Redis time.
        more: there may be more to give free at once.
        records: what is paused.
    """

    now_ms: int
    more: bool
    records: tuple[PauseRecord, ...]


def pause(
    queue: str,
    job: str | None,
    *,
    for_: float | None = None,
    until_ms: int = 0,
    by: str = "",
    reason: str = "",
) -> Op[int]:
    """Pause a queue, or one job function in it; the answer is a constant of this module.

    Args:
        job: the name of the job function; None: the whole queue.
        for_: seconds until it ends by itself; None: it does not, or ``until_ms`` says when.
        until_ms: Redis time in ms at which it ends by itself; 0: it does not.

    Raises:
        OptionError: the job function or a text cannot be one.
    """
    ms = 0 if for_ is None else max(1, round(for_ * 1000))
    args = (field_of(job), ms, until_ms, pack_words(by, reason), MOST)
    return call(_PAUSE, (keys.pauses(queue),), args, int)


def resume(queue: str, job: str | None) -> Op[bool]:
    """End a pause; False when there was none. See `pause`."""
    return call(_RESUME, (keys.pauses(queue), keys.meta(queue)), (field_of(job),), bool)


def read(queue: str) -> Op[tuple[PauseRecord, ...]]:
    """Read what is paused in a queue, the whole queue first. Writes nothing."""
    return call(_PAUSED, (keys.pauses(queue),), (), lambda reply: _records(pairs(reply)))


def look(queue: str) -> Op[Looked]:
    """Read what is paused; end what is over, and give free a page of what is held no more."""
    every = (keys.pauses(queue), keys.due(queue), keys.meta(queue))
    return call(_PAUSES, every, (HELD_MS, PAGE, *_FREED), _looked)


def _looked(reply: Any) -> Looked:
    return Looked(int(reply[0]), bool(reply[1]), _records(pairs(reply[2:])))


def _records(found: dict[str, Any]) -> tuple[PauseRecord, ...]:
    return tuple(read_record(text(name), found[name]) for name in sorted(found))
