"""Ops of a worker that takes jobs: new ones, retries that are due, and replies that were lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobq.store import keys
from jobq.store.keys import GROUP, PARKED
from jobq.store.wire import Op, Script, Word, call

#: Which workers may take a waiting retry: the letter before its entry in ``due``.
SYNC, ASYNC, ANY, SUSPECT, UNKNOWN = "s", "a", "?", "!", "u"
KINDS = SYNC + ASYNC + ANY + SUSPECT + UNKNOWN

#: An entry as Redis gives it: its id, and the flat list of field and value. The first field
#: is the job's id and its value the call. Not made into objects: this is the hot path.
RawEntry = list[Any]

_CLAIM = Script("claim")
_MINE = Script("mine")


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of ``retries`` or of one consumer, with what else is known of it.

    Attributes:
        entry: the entry's id.
        fields: its fields; None: it was deleted.
        count: its delivery count, which in ``retries`` is the attempt.
        history: the encoded attempts so far.
        idle: ms since it was delivered or renewed.
        mark: where the job ran when its cancel was asked for; None: it was not.
    """

    entry: bytes
    fields: list[bytes] | None
    count: int
    history: bytes | None
    idle: int = 0
    mark: bytes | None = None

    def is_cancelled(self, *, in_retries: bool) -> bool:
        """Tell whether the cancel of this attempt was asked for, so that it shall not start."""
        return self.mark == (b"r" if in_retries else b"j") + self.entry


@dataclass(frozen=True, slots=True)
class Claimed:
    """What `claim` took, and the ms until the next retry is due (None: none waits)."""

    held: list[Held]
    next_due: int | None


def read(queue: str, consumer: str, count: int, block: float) -> Op[list[RawEntry]]:
    """Take new jobs; wait up to ``block`` seconds for the first, or not at all at 0."""
    words: list[Word] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
    if block > 0:
        words += ["BLOCK", max(1, int(block * 1000))]
    return Op((*words, "STREAMS", keys.jobs(queue), ">"), _entries, None, 0, block)


def read_any(queues: Sequence[str], consumer: str, block: float) -> Op[list[tuple[str, RawEntry]]]:
    """Wait for a new job in any of several queues; at most one of each."""
    streams = {keys.jobs(queue).encode(): queue for queue in queues}

    def parse(reply: Any) -> list[tuple[str, RawEntry]]:
        rows = reply.items() if isinstance(reply, dict) else reply or ()
        return [(streams[stream], entry) for stream, entries in rows for entry in entries]

    words = ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 1, "BLOCK", max(1, int(block * 1000)))
    return Op((*words, "STREAMS", *streams, *[">"] * len(streams)), parse, None, 0, block)


def claim(queue: str, consumer: str, limit: int, kinds: str) -> Op[Claimed]:
    """Take up to ``limit`` retries that are due and of the given kinds."""
    every = (keys.retries(queue), keys.due(queue), keys.history(queue))
    return call(_CLAIM, every, (GROUP, consumer, PARKED, limit, kinds), _claimed)


def mine(
    queue: str, stream: str, consumer: str, *, after: str = "-", count: int = 100, idle: int = 0
) -> Op[list[Held]]:
    """List what is pending for one consumer in ``jobs`` or ``retries``, page by page.

    Args:
        stream: the key of the stream.
        after: ``-``, or ``(`` and the last entry of the page before.
        idle: ms that an entry must have been idle at least.
    """
    args = (GROUP, consumer, after, count, idle)
    return call(_MINE, (stream, keys.history(queue), keys.cancels(queue)), args, _held)


def _entries(reply: Any) -> list[RawEntry]:
    if not reply:
        return []
    if isinstance(reply, dict):
        return next(iter(reply.values()))
    return reply[0][1]  # type: ignore[no-any-return]


def _held(reply: Any) -> list[Held]:
    return [Held(*row) for row in reply]


def _claimed(reply: Any) -> Claimed:
    return Claimed([Held(*row) for row in reply[1:]], None if reply[0] < 0 else reply[0])
