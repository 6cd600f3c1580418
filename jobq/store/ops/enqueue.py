"""Ops of a producer: adding calls to a queue."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from jobq.core.lines import letter_of, lines_of, queue_of
from jobq.core.uniqueness import Rule
from jobq.store import keys
from jobq.store.keys import GROUP, HELD_MS, KINDS, PARKED
from jobq.store.wire import Op, Script, Word, call, nothing, text

T = TypeVar("T")

#: Calls in one round trip of `enqueue_many`: the knee of the curve, and far below the 8,000
#: values that Lua can unpack.
MOST_CALLS = 1000

_ENQUEUE = Script("enqueue", "tally")
_SPECIAL = Script("enqueue_special", "tally")
_KEYED = Script("enqueue_keyed", "tally")

#: The answer to a resend of which nobody knows what became.
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


class Landed(NamedTuple):
    """Where a call with a uniqueness key landed.

    Attributes:
        how: `ADDED`, `HELD`, `REPLACED`, `THROTTLED`, or `SIGN`: nowhere yet, for it must be signed
            for that id first.
        job_id: the job that it became, or that has the key.
    """

    how: str
    job_id: str


#: How a call landed: as a job of its own; nowhere, for another has its key; in the place of that
#: one's; nowhere, for there were enough of its kind.
ADDED, HELD, REPLACED, THROTTLED, SIGN = "added", "held", "replaced", "throttled", "sign"

#: When calls are due: ms from now, or Redis time in ms (0: the former is meant).
Due = tuple[int, int]
NOW: Due = (0, 0)


@lru_cache(maxsize=1024)
def _keys(queue: str) -> tuple[str, str, str, str]:
    return keys.jobs(queue), keys.index(queue), keys.lanes(queue), keys.tally(queue)


@lru_cache(maxsize=1024)
def _head(queue: str) -> tuple[Word, ...]:
    return ("EVALSHA", _ENQUEUE.sha, 4, *_keys(queue))


Script.caches.append(_head.cache_clear)


def enqueue(queue: str, job_id: str, call_bytes: bytes) -> Op[int]:
    """Add one call under an id that nobody else can have; 0 when it is a resend."""
    # Not by call(), which builds the head anew: this is the hot path of a producer.
    return Op((*_head(queue), job_id, call_bytes), int, _ENQUEUE, 7, joins=True)


def enqueue_many(queue: str, calls: Iterable[tuple[str, bytes]]) -> Op[int]:
    """Add at most `MOST_CALLS` calls, of (id, call), in one step: all or none."""
    words: list[Word] = []
    for job_id, call_bytes in calls:
        words += (job_id, call_bytes)
    return call(_ENQUEUE, _keys(queue), tuple(words), int, stamped=True)


def enqueue_unique(queue: str, job_id: str, call_bytes: bytes) -> Op[bool]:
    """Add one call under the caller's own id; False when that id is taken."""
    return _special(queue, [(job_id, call_bytes)], NOW, 0, own=True, parse=_is_added)


def enqueue_special(
    line: str,
    calls: Iterable[tuple[str, bytes]],
    *,
    due: Due = NOW,
    most: int | None = None,
    own: bool = False,
) -> Op[int | Full]:
    """Add at most `MOST_CALLS` calls in one step: all or none.

    Args:
        calls: id and call of each.
        due: when they shall start.
        most: add them only if the queue then has at most so many jobs, in any state.
        own: the one id is the caller's own, as in `enqueue_unique`.

    Returns:
        With ``own`` 0 when the id is taken, else 1; without as `enqueue_many`; or `Full`, or
        `UNCERTAIN`.
    """
    return _special(line, calls, due, most or 0, own=own, parse=_is_own if own else _is_room)


def enqueue_bounded(
    queue: str, calls: Iterable[tuple[str, bytes]], most: int, *, unique: bool = False
) -> Op[int | Full]:
    """Add calls if the queue has at most ``most`` jobs then. See `enqueue_special`."""
    return enqueue_special(queue, calls, most=most, own=unique)


def enqueue_keyed(
    line: str,
    key: str,
    job_id: str,
    call_bytes: bytes,
    rule: Rule,
    *,
    due: Due | None = None,
    most: int | None = None,
    signed_for: str = "",
) -> Op[Landed | Full | int]:
    """Add one call unless a job has its uniqueness key, or in the place of that job's call.

    Args:
        line: where a new job waits.
        key: the uniqueness key, without spaces.
        job_id: of a new job.
        call_bytes: the call.
        rule: how long a job has the key, and what becomes of a call when one has it.
        due: when it shall start; None: nothing was said.
        most: jobs that the queue may have.
        signed_for: the id that the call is signed for; empty: it is not signed.

    Returns:
        Where the call landed; or `Full`, or `UNCERTAIN`.
    """
    queue = queue_of(line)
    every = (*_streams(queue), *_notes(queue))
    delay, at = (-1, 0) if due is None else due
    args = (key, job_id, call_bytes, signed_for, letter_of(line), delay, at, *rule)
    tail = (most or 0, GROUP, PARKED, KINDS, HELD_MS)
    return call(_KEYED, every, (*args, *tail), _landed, stamped=True)


def register_queue(queue: str) -> Op[None]:
    """Make a queue known to those who list queues."""
    return Op(("SADD", keys.QUEUES, queue), nothing)


def _special(
    line: str,
    calls: Iterable[tuple[str, bytes]],
    due: Due,
    most: int,
    *,
    own: bool,
    parse: Callable[[Any], T],
) -> Op[T]:
    words: list[Word] = []
    for job_id, call_bytes in calls:
        words += (job_id, call_bytes)
    every = (
        *_keys(line)[:3],
        keys.delayed(line),
        keys.due(line),
        keys.dead(line),
        keys.result(line, str(words[0])),
        keys.tally(line),
        *(keys.of_reports(line, str(words[0])) if own else ()),
    )
    args = (letter_of(line), *due, most, int(own), *words)
    return call(_SPECIAL, every, args, parse, stamped=True)


@lru_cache(maxsize=1024)
def _streams(queue: str) -> tuple[str, ...]:
    high, normal, low = map(keys.jobs, lines_of(queue))
    return normal, high, low


@lru_cache(maxsize=1024)
def _notes(queue: str) -> tuple[str, ...]:
    every = (
        keys.index,
        keys.lanes,
        keys.unique,
        keys.delayed,
        keys.due,
        keys.retries,
        keys.cancels,
        keys.dead,
        keys.tally,
    )
    return tuple(key(queue) for key in every)


def _is_added(reply: int) -> bool:
    return reply >= 0


def _is_room(reply: Any) -> int | Full:
    return Full(*map(int, reply)) if isinstance(reply, list) else int(reply)


def _is_own(reply: Any) -> int | Full:
    if isinstance(reply, list) or reply == UNCERTAIN:
        return _is_room(reply)
    return int(reply >= 0)


def _landed(reply: Any) -> Landed | Full | int:
    how = text(reply[0])
    if how == "full":
        return Full(int(reply[1]), int(reply[2]))
    return UNCERTAIN if how == "unknown" else Landed(how, text(reply[1]))
