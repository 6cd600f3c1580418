"""What is counted of a queue's jobs: names, histograms, and how they stand in Redis; pure.

In Redis a count is a number under a short key: a letter for a counter, ``R`` or ``W`` and the
place of a bucket for the histograms of run and wait time, ``R`` and ``W`` alone for their sums.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import Final, NamedTuple

import msgpack

from jobq.core.numbers import whole

#: What is counted, by the letter that stands for it in Redis.
_LETTERS: Final[Mapping[str, str]] = {
    "e": "enqueued",
    "t": "started",
    "s": "succeeded",
    "f": "failed",
    "r": "retried",
    "d": "dead",
    "c": "crashed",
    "x": "expired",
    "n": "cancelled",
    "z": "snoozed",
}

#: What is counted. All but ``enqueued`` in the moment in which an attempt ends.
COUNTERS: Final[tuple[str, ...]] = tuple(_LETTERS.values())

#: How an attempt ended, as a letter: it raised; its process died; it asked to be put off.
FAILED, CRASHED, SNOOZED = "f", "c", "z"

_SUCCEEDED: Final = "s"

#: It had been started, and how long it ran is not known.
STARTED: Final = "t"

#: Upper bounds of the buckets of the histograms, in seconds; one more bucket holds what is above.
BOUNDS: Final[tuple[float, ...]] = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
    *(3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0),
)

#: Job functions of a queue that have numbers of their own; all others share those of `OTHERS`.
MOST_JOBS: Final = 200

#: The name of all job functions that have no numbers of their own.
OTHERS: Final = "*"

#: The letters of the histograms, and what a second is in their sums.
RUN: Final = "R"
WAIT: Final = "W"
_PER_SECOND: Final[Mapping[str, int]] = {RUN: 1_000_000, WAIT: 1000}

_BUCKETS: Final[Mapping[str, tuple[str, ...]]] = {
    letter: tuple(f"{letter}{place}" for place in range(len(BOUNDS) + 1)) for letter in "RW"
}
_KEYS: Final = frozenset((*_LETTERS, RUN, WAIT, *_BUCKETS[RUN], *_BUCKETS[WAIT]))

#: The greatest number that is believed, and the most bytes of a row.
_MOST: Final = 2**62
_MOST_BYTES: Final = 4096

#: When something began and ended: monotonic seconds.
Span = tuple[float, float]

#: It was not started.
NO_SPAN: Final[Span] = (0.0, 0.0)

#: Waits that are looked at together, and so far they may lie apart for that: a fifth, so that the
#: sum of waits is right within a tenth; in which bucket they are is exact.
_CHUNK: Final = 32
_ALIKE: Final = 1.2

#: Bytes of a name that is counted under itself: as long as that of a job function can be.
_MOST_NAME: Final = 800

#: Characters of the milliseconds in the id of an entry, from 2001 to 2286.
_MS_CHARS: Final = 13

#: From here on a time is in tens of seconds, not in minutes: 1973 in the one, 2160 in the other.
_TENS_FROM: Final = 10**8

#: Numbers by their keys.
Counts = dict[str, int]


class Count(NamedTuple):
    """One number as it stands in Redis before it is in a row.

    Attributes:
        minute: since 1970.
        job: the job function; `OTHERS`: what a stranger has named in bytes that are no text.
        key: which number it is.
        value: it.
        name: how it is called in Redis.
    """

    minute: int
    job: str
    key: str
    value: int
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations fell into each bucket of `BOUNDS`.

    Attributes:
        counts: of each bucket, and of what is above the last bound.
        seconds: the sum of all durations.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Their mean in seconds; None: there are none."""
        count = self.count
        return self.seconds / count if count else None

    def percentile(self, q: float) -> float | None:
        """Return the seconds below which a share of the durations lies; None: there are none.

        It is interpolated within its bucket, so it is right to the width of that. What is above
        the last bound counts as that.

        Args:
            q: the share in percent, such as 99.

        Raises:
            ValueError: that is no share.
        """
        if not 0 <= q <= 100:
            raise ValueError(f"a percentile of {q}: it must be from 0 to 100")
        left = self.count * q / 100
        if not self.count:
            return None
        below = 0.0
        for count, bound in zip(self.counts, (*BOUNDS, BOUNDS[-1]), strict=True):
            if count and left <= count:
                return below + (bound - below) * left / count
            left -= count
            below = bound
        return BOUNDS[-1]

    def __add__(self, other: "Histogram") -> "Histogram":
        """Return both together."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted, of a job function, a queue, a minute, or of all together.

    Attributes:
        enqueued: jobs added, by whatever way; not what is retried or moved.
        started: attempts that were started, counted when they ended.
        succeeded: attempts that succeeded.
        failed: attempts that raised, or ran out of time.
        retried: attempts that another one follows.
        dead: jobs that became dead letters.
        crashed: attempts whose process died.
        expired: jobs that waited too long and were not started.
        cancelled: jobs that were cancelled, before they were started or while they ran.
        snoozed: attempts that asked to be put off.
        waits: how long jobs had waited, since they could be started, until their first start.
        runs: how long attempts ran that ended, in whatever way but the death of their process.
    """

    enqueued: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    crashed: int = 0
    expired: int = 0
    cancelled: int = 0
    snoozed: int = 0
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)

    @property
    def counters(self) -> dict[str, int]:
        """The counters by their names, in the order of `COUNTERS`."""
        return {name: getattr(self, name) for name in COUNTERS}

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together."""
        mine, more = self.counters, other.counters
        sums = {name: mine[name] + more[name] for name in COUNTERS}
        return Tally(**sums, waits=self.waits + other.waits, runs=self.runs + other.runs)


def total(tallies: Iterable[Tally]) -> Tally:
    """Return all together."""
    return sum(tallies, Tally())


def tally_of(counts: Mapping[str, int]) -> Tally:
    """Return what was counted, out of the numbers as they stand in Redis."""
    runs, waits = _histogram(counts, RUN), _histogram(counts, WAIT)
    letters = {name: counts.get(letter, 0) for letter, name in _LETTERS.items()}
    letters["started"] += runs.count
    return Tally(**letters, waits=waits, runs=runs)


def _histogram(counts: Mapping[str, int], letter: str) -> Histogram:
    buckets = tuple(counts.get(key, 0) for key in _BUCKETS[letter])
    return Histogram(buckets, counts.get(letter, 0) / _PER_SECOND[letter])


def add(counts: Counts, more: Mapping[str, int]) -> None:
    """Add numbers to others, in place."""
    for key, value in more.items():
        counts[key] = counts.get(key, 0) + value


def words(counts: Mapping[str, int]) -> str:
    """Return numbers as the scripts that count take them: keys and values in turn."""
    return " ".join([f"{key} {value}" for key, value in counts.items()])


def read_row(row: bytes | None) -> Counts:
    """Return the numbers of a row; of what is none, nothing."""
    if not row or len(row) > _MOST_BYTES:
        return {}
    try:
        data: object = msgpack.unpackb(row)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  msgpack raises many kinds over garbage
        return {}
    if not isinstance(data, dict):
        return {}
    return {
        key: value
        for key, value in data.items()
        if type(value) is int and key in _KEYS and 0 <= value <= _MOST
    }


def read_count(name: bytes, value: bytes) -> Count | None:
    """Return a number that is in no row yet; None: it is none.

    Args:
        name: the minute, or the tens of seconds, the key and the job function, with spaces between
            them.
        value: the number in decimal.
    """
    minute, _, rest = name.partition(b" ")
    letters, space, raw = rest.partition(b" ")
    at, number, key = whole(minute), whole(value), letters.decode("ascii", "replace")
    if at is None or number is None or not space or key not in _KEYS:
        return None
    try:
        job = raw.decode()
    except UnicodeDecodeError:
        job = OTHERS
    return Count(at if at < _TENS_FROM else at // 6, job, key, number, name)


def counted_as(name: str) -> str:
    """Return under which name a job function is counted that a call names; anybody may write one.

    The scripts that count calls take their names in the same way.
    """
    return name if 0 < len(name.encode("utf-8", "surrogatepass")) <= _MOST_NAME else OTHERS


def one(span: Span, waited: float | None = None, *how: str) -> Counts:
    """Return what is counted of one attempt.

    Args:
        span: when it ran; `NO_SPAN`: it was not started, or nobody knows.
        waited: seconds from when its job could be started until it was, if this was its first
            start; None: it was not.
        how: it ended: `FAILED` and so on.
    """
    counts: Counts = dict.fromkeys(how, 1)
    if span is not NO_SPAN:
        _put(counts, RUN, span[1] - span[0])
    if waited is not None:
        _put(counts, WAIT, waited)
    return counts


def by_job(
    jobs: Sequence[str], ready: Sequence[bytes], spans: Sequence[Span], offset: float
) -> dict[str, Counts]:
    """Return what is counted of many first attempts that succeeded, by job function.

    Args:
        jobs: the job function of each.
        ready: since when each could be started: Redis time in ms, such as the id of an entry.
        spans: when each ran.
        offset: seconds from monotonic time to Redis time.
    """
    names = set(jobs)
    if len(names) == 1:
        return {names.pop(): many(ready, spans, offset)}
    places: dict[str, list[int]] = {name: [] for name in names}
    for place, name in enumerate(jobs):
        places[name].append(place)
    return {
        name: many([ready[at] for at in mine], [spans[at] for at in mine], offset)
        for name, mine in places.items()
    }


def many(ready: Sequence[bytes], spans: Sequence[Span], offset: float) -> Counts:
    """Return what is counted of many first attempts of one job function. See `by_job`."""
    began, ended = zip(*spans, strict=True)
    counts: Counts = {_SUCCEEDED: len(ready)}
    _put_runs(counts, list(map(sub, ended, began)))
    _put_waits(counts, ready, began, offset)
    return counts


def _put(counts: Counts, letter: str, seconds: float, times: int = 1) -> None:
    """Add a duration to a histogram."""
    seconds = max(0.0, seconds)
    key = _BUCKETS[letter][bisect_left(BOUNDS, seconds)]
    counts[key] = counts.get(key, 0) + times
    counts[letter] = counts.get(letter, 0) + round(seconds * times * _PER_SECOND[letter])


def _put_runs(counts: Counts, runs: list[float]) -> None:
    """Add runs to the histogram: those of short jobs mostly fall into one bucket."""
    place = bisect_left(BOUNDS, min(runs))
    if place == bisect_left(BOUNDS, max(runs)):
        key = _BUCKETS[RUN][place]
        counts[key] = counts.get(key, 0) + len(runs)
        counts[RUN] = counts.get(RUN, 0) + round(max(0.0, sum(runs)) * _PER_SECOND[RUN])
    else:
        _put_sorted(counts, RUN, sorted(runs))


def _put_sorted(counts: Counts, letter: str, durations: Sequence[float]) -> None:
    """Add durations to a histogram, the shortest first: a look for each bucket, not for each."""
    done = 0
    while done < len(durations):
        place = bisect_left(BOUNDS, durations[done])
        end = len(durations)
        if place < len(BOUNDS) and durations[-1] > BOUNDS[place]:
            end = bisect_right(durations, BOUNDS[place], done)
        key = _BUCKETS[letter][place]
        counts[key] = counts.get(key, 0) + end - done
        done = end
    counts[letter] = counts.get(letter, 0) + round(max(0.0, sum(durations)) * _PER_SECOND[letter])


def _put_waits(
    counts: Counts, ready: Sequence[bytes], began: Sequence[float], offset: float
) -> None:
    """Add waits to the histogram.

    Jobs that come out of a backlog together have waited for almost the same time: from the least
    and the greatest of a batch it is seen that all fall into one bucket.
    """
    size = len(ready)
    last, first = _seconds(max(ready)), _seconds(min(ready))
    least, most = min(began) + offset - last, max(began) + offset - first
    same = least > 0 and most <= least * _ALIKE
    if same and bisect_left(BOUNDS, least) == bisect_left(BOUNDS, most):
        _put(counts, WAIT, (least + most) / 2, size)
    elif size > _CHUNK:
        for at in range(0, size, _CHUNK):
            _put_waits(counts, ready[at : at + _CHUNK], began[at : at + _CHUNK], offset)
    else:
        for since, start in zip(ready, began, strict=True):
            _put(counts, WAIT, start + offset - _seconds(since))


def _seconds(ready: bytes) -> float:
    """Return Redis time in seconds; a stranger may have made an entry with any id."""
    ms = whole(ready[:_MS_CHARS]) or whole(ready.partition(b"-")[0])
    return (ms or 0) / 1000
