"""Ops for what was counted of jobs: read it, and move what is new into rows."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobq.core.numbers import whole
from jobq.core.tally import MOST_JOBS, OTHERS, Count, Counts, read_count, read_row
from jobq.store import keys
from jobq.store.wire import Op, Script, Word, call, nothing, pairs, text

_ROLL = Script("roll")

#: Milliseconds that rows are kept after the last change to any of the same hour, or day.
MINUTES_MS: Final = 25 * 3_600_000
HOURS_MS: Final = 31 * 86_400_000

#: Rows that one script fills: under a millisecond or two.
MOST_ROWS: Final = 20
#: Numbers that one script moves: a millisecond or two, and fewer than Lua can unpack.
_MOST_NAMES: Final = 1000

#: The minute and the job function of a row, and the names of numbers that are moved into it.
_Row = tuple[tuple[int, str], list[bytes]]

#: How often numbers were moved into rows, among the numbers that are in none.
_MOVED: Final = b"#"


@dataclass(frozen=True, slots=True)
class Fresh:
    """What was counted and is in no row yet.

    Attributes:
        counts: the numbers.
        moved: how often some were moved into rows: what is read after that fits if this is the
            same before and after.
        strange: what else is there, which is nobody's.
    """

    counts: tuple[Count, ...]
    moved: int
    strange: tuple[bytes, ...] = ()


def fresh(queue: str) -> Op[Fresh]:
    """Read what is in no row yet: some thousands of numbers at most."""
    return Op(("HGETALL", keys.tally(queue)), _fresh)


def moved(queue: str) -> Op[int]:
    """Read how often numbers were moved into rows. See `Fresh`."""
    return Op(("HGET", keys.tally(queue), _MOVED), lambda reply: whole(reply or b"0") or 0)


def totals(queue: str) -> Op[dict[str, Counts]]:
    """Read what was counted since ever and moved into rows, by job function."""
    return Op(("HGETALL", keys.totals(queue)), _rows)


def minutes(queue: str, hour: int, job: str) -> Op[dict[int, Counts]]:
    """Read the minutes of an hour, by their number since 1970.

    Args:
        hour: since 1970.
    """
    return Op(("HGETALL", keys.minutes(queue, hour, job)), _numbered)


def some_minutes(queue: str, hour: int, job: str, some: Sequence[int]) -> Op[dict[int, Counts]]:
    """Read some minutes of an hour. See `minutes`."""

    def parse(reply: Any) -> dict[int, Counts]:
        return {at: read_row(row) for at, row in zip(some, reply, strict=True) if row}

    return Op(("HMGET", keys.minutes(queue, hour, job), *some), parse)


def hours(queue: str, day: int, job: str) -> Op[dict[int, Counts]]:
    """Read the hours of a day, by their number since 1970.

    Args:
        day: since 1970.
    """
    return Op(("HGETALL", keys.hours(queue, day, job)), _numbered)


def roll(
    queue: str, counts: Iterable[Count], full: Collection[str] = ()
) -> list[Op[frozenset[str]]]:
    """Move numbers into rows; who comes second finds it done.

    Args:
        counts: those that are to be moved, as `fresh` has read them.
        full: job functions that have no rows of their own.

    Returns:
        The ops; each answers for which job functions there was no room.
    """
    rows: defaultdict[tuple[int, str], list[bytes]] = defaultdict(list)
    for one in counts:
        job = OTHERS if one.job in full else one.job
        rows[one.minute, job].append(one.name)
    ops: list[list[_Row]] = []
    size = _MOST_NAMES
    for row, every in sorted(rows.items()):
        for at in range(0, len(every), _MOST_NAMES):
            names = every[at : at + _MOST_NAMES]
            if size + len(names) > _MOST_NAMES or len(ops[-1]) == MOST_ROWS:
                ops.append([])
                size = 0
            ops[-1].append((row, names))
            size += len(names)
    return [_roll(queue, some) for some in ops]


def _roll(queue: str, rows: Sequence[_Row]) -> Op[frozenset[str]]:
    every = [keys.tally(queue), keys.totals(queue)]
    args: list[Word] = [MOST_JOBS, MINUTES_MS, HOURS_MS]
    for (minute, job), names in rows:
        hour = minute // 60
        every += (keys.minutes(queue, hour, job), keys.hours(queue, hour // 24, job))
        args += (job, minute, hour, len(names), *names)
    return call(_ROLL, tuple(every), tuple(args), lambda reply: frozenset(map(text, reply)))


def drop(queue: str, strange: Iterable[bytes]) -> Op[None]:
    """Delete what is no number."""
    return Op(("HDEL", keys.tally(queue), *strange), nothing)


def _fresh(reply: Any) -> Fresh:
    values: Any = reply.items() if isinstance(reply, dict) else zip(*[iter(reply)] * 2, strict=True)
    counts: list[Count] = []
    strange: list[bytes] = []
    times = 0
    for name, value in values:
        if name == _MOVED:
            times = whole(value) or 0
        elif (count := read_count(name, value)) is not None:
            counts.append(count)
        else:
            strange.append(name)
    return Fresh(tuple(counts), times, tuple(strange))


def _rows(reply: Any) -> dict[str, Counts]:
    return {job: row for job, raw in pairs(reply).items() if (row := read_row(raw))}


def _numbered(reply: Any) -> dict[int, Counts]:
    found = {}
    for name, row in pairs(reply).items():
        if (at := whole(name)) is not None:
            found[at] = read_row(row)
    return found
