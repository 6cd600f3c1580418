"""Ops of a producer: adding calls to a queue."""

from collections.abc import Iterable
from functools import lru_cache

from jobq.store import keys
from jobq.store.wire import Op, Script, Word, call, nothing

#: Calls in one round trip of `enqueue_many`: the knee of the curve, and far below the 8,000
#: values that Lua can unpack.
MOST_CALLS = 1000

_ENQUEUE = Script("enqueue")
_ENQUEUE_UNIQUE = Script("enqueue_unique")


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


def register_queue(queue: str) -> Op[None]:
    """Make a queue known to those who list queues."""
    return Op(("SADD", keys.QUEUES, queue), nothing)


def _is_added(reply: int) -> bool:
    return reply >= 0
