"""Ops of a producer: adding calls to a queue."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jobq.store import keys
from jobq.store.wire import Op, Script, Word, call, nothing

#: Calls in one round trip of `enqueue_many`: the knee of the curve, and far below the 8,000
#: values that Lua can unpack.
MOST_CALLS = 1000

_ENQUEUE = Script("enqueue")
_ENQUEUE_UNIQUE = Script("enqueue_unique")
_ENQUEUE_BOUNDED = Script("enqueue_bounded")

#: The answer of `enqueue_bounded` to a resend of which nobody knows what became.
UNCERTAIN = -2


@dataclass(frozen=True, slots=True)
class Full:
    """The queue has as many jobs as it may have; nothing was added.

    Attributes:
        size: how many it has, dead letters too.
        dead: how many of them are dead letters.
    """

    size: int
    dead: int


@lru_cache(maxsize=1024)
def _keys(queue: str) -> tuple[str, str, str]:
    return keys.jobs(queue), keys.index(queue), keys.lanes(queue)


@lru_cache(maxsize=1024)
def _head(queue: str) -> tuple[Word, ...]:
    return ("EVALSHA", _ENQUEUE.sha, 3, *_keys(queue))


def enqueue(queue: str, job_id: str, call_bytes: bytes) -> Op[int]:
    """Add one call under an id that nobody else can have; 0 when it is a resend."""
    # Not by call(), which builds the head anew: this is the hot path of a producer.
    return Op((*_head(queue), job_id, call_bytes), int, _ENQUEUE, 6, joins=True)


def enqueue_many(queue: str, calls: Iterable[tuple[str, bytes]]) -> Op[int]:
    """Add at most `MOST_CALLS` calls, of (id, call), in one step: all or none."""
    words: list[Word] = []
    for job_id, call_bytes in calls:
        words += (job_id, call_bytes)
    return call(_ENQUEUE, _keys(queue), tuple(words), int, stamped=True)


def enqueue_unique(queue: str, job_id: str, call_bytes: bytes) -> Op[bool]:
    """Add one call under the caller's own id; False when that id is taken."""
    every = (*_keys(queue), keys.result(queue, job_id))
    return call(_ENQUEUE_UNIQUE, every, (job_id, call_bytes), _is_added, stamped=True)


def enqueue_bounded(
    queue: str, calls: Iterable[tuple[str, bytes]], most: int, *, unique: bool = False
) -> Op[int | Full]:
    """Add at most `MOST_CALLS` calls in one step, if the queue has at most ``most`` jobs then.

    Args:
        calls: id and call of each.
        most: jobs in any state, dead letters too.
        unique: the one id is the caller's own, as in `enqueue_unique`.

    Returns:
        For one with ``unique`` 0 when the id is taken, else 1; for others as `enqueue_many`;
        or `Full`, or `UNCERTAIN`.
    """
    words: list[Word] = []
    for job_id, call_bytes in calls:
        words += (job_id, call_bytes)
    every = (*_keys(queue), keys.dead(queue), keys.result(queue, str(words[0])))
    parse = _is_unique if unique else _is_room
    return call(_ENQUEUE_BOUNDED, every, (most, int(unique), *words), parse, stamped=True)


def register_queue(queue: str) -> Op[None]:
    """Make a queue known to those who list queues."""
    return Op(("SADD", keys.QUEUES, queue), nothing)


def _is_added(reply: int) -> bool:
    return reply >= 0


def _is_room(reply: Any) -> int | Full:
    return Full(*map(int, reply)) if isinstance(reply, list) else int(reply)


def _is_unique(reply: Any) -> int | Full:
    if isinstance(reply, list) or reply == UNCERTAIN:
        return _is_room(reply)
    return int(reply >= 0)
