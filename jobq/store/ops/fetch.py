"""Ops of a worker that takes jobs: new ones, retries that are due, and replies that were lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobq.core.lines import HIGH, LOW, line_of
from jobq.store import keys
from jobq.store.keys import GROUP, HELD_MS, PARKED
from jobq.store.wire import Op, Script, Word, call

#: Which workers may take a waiting retry.
SYNC, ASYNC, ANY, SUSPECT, UNKNOWN = keys.SYNC, keys.ASYNC, keys.ANY, keys.SUSPECT, keys.UNKNOWN

#: Those that nobody may take for now.
HELD, HELD_SUSPECT = keys.HELD, keys.HELD_SUSPECT

#: What stands before the job's id in ``due``: a delayed job, and one that can be replaced until a
#: worker takes it.
DELAYED, REPLACEABLE = "d", "q"

#: An entry as Redis gives it: its id, and the flat list of field and value. The first field
#: is the job's id and its value the call. Not made into objects: this is the hot path.
RawEntry = list[Any]

_CLAIM = Script("claim")
_READ = Script("read")
_LINES = Script("lines")
_MINE = Script("mine")

_LOW = f" {LOW}"


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

    def is_cancelled(self, letter: str) -> bool:
        """Tell whether the cancel of this attempt was asked for, so that it shall not start.

        Args:
            letter: of the stream that it is in, as in the index.
        """
        return self.mark == letter.encode() + self.entry


@dataclass(frozen=True, slots=True)
class Claimed:
    """What `claim` took, and the ms until the next retry is due (None: none waits)."""

    held: list[Held]
    next_due: int | None


def read(line: str, consumer: str, count: int, block: float) -> Op[list[RawEntry]]:
    """Take new jobs of one line; wait up to ``block`` seconds for the first, or not at all at 0."""
    words: list[Word] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
    if block > 0:
        words += ["BLOCK", max(1, int(block * 1000))]
    return Op((*words, "STREAMS", keys.jobs(line), ">"), _entries, None, 0, block)


def is_used(line: str) -> Op[bool]:
    """Ask whether a line has ever had a job: whether its stream is there."""
    return Op(("EXISTS", keys.jobs(line)), bool)


def lines_used(queue: str) -> Op[int]:
    """Ask which lines of a queue have ever had a job: 1 for high and 2 for low, added up."""
    every = tuple(keys.jobs(line_of(queue, priority)) for priority in (HIGH, LOW))
    return call(_LINES, every, (), int)


def read_lines(
    lines: Sequence[str], consumer: str, count: int
) -> Op[list[tuple[str, list[RawEntry]]]]:
    """Take new jobs of the lines of one queue, the first line first; of ``low`` only to fill a gap.

    Args:
        lines: those that are in use, in the order of `jobq.core.lines.PRIORITIES`.
        count: how many at most, in all.
    """
    if len(lines) == 1:  # the usual case: no script, which would make each entry twice
        plain, line = read(lines[0], consumer, count, 0.0), lines[0]
        return Op(plain.words, lambda reply: [(line, _entries(reply))] if reply else [])
    spare = len(lines) if lines[-1].endswith(_LOW) else 0
    args = (GROUP, consumer, count, spare)
    return call(
        _READ,
        tuple(map(keys.jobs, lines)),
        args,
        lambda reply: [(lines[number - 1], entries) for number, entries in reply],
    )


def read_any(lines: Sequence[str], consumer: str, block: float) -> Op[list[tuple[str, RawEntry]]]:
    """Wait for a new job in any of several lines; at most one of each."""
    streams = {keys.jobs(line).encode(): line for line in lines}

    def parse(reply: Any) -> list[tuple[str, RawEntry]]:
        rows = reply.items() if isinstance(reply, dict) else reply or ()
        return [(streams[stream], entry) for stream, entries in rows for entry in entries]

    words = ("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", 1, "BLOCK", max(1, int(block * 1000)))
    return Op((*words, "STREAMS", *streams, *[">"] * len(streams)), parse, None, 0, block)


def claim(queue: str, consumer: str, limit: int, kinds: str) -> Op[Claimed]:
    """Take up to ``limit`` of what is due: retries of the given kinds, and replaceable jobs.

    These are for all who may take `ANY`.
    """
    every = (
        keys.retries(queue),
        keys.due(queue),
        keys.history(queue),
        keys.delayed(queue),
        keys.index(queue),
    )
    return call(_CLAIM, every, (GROUP, consumer, PARKED, limit, kinds, ANY, HELD_MS), _claimed)


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
