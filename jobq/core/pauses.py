"""Pauses: that the jobs of a queue, or of one job function in it, do not start for a while."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import msgpack

from jobq.core.hints import shown
from jobq.core.numbers import ms_of
from jobq.errors import OptionError

T = TypeVar("T")

#: What stands in the place of a job function's name where the whole queue is paused.
EVERY_JOB: Final = "*"

#: Characters of a reason, and of by whom: they stand in every list of queues.
MOST_TEXT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRecord:
    """A pause as it is in Redis.

    Attributes:
        job: the name of the job function; None: the whole queue.
        since_ms: since when, Redis time in ms; 0: somebody else's record does not tell.
        until_ms: when it ends by itself; None: it does not.
        by: by whom.
        reason: why; can be empty.
    """

    job: str | None
    since_ms: int
    until_ms: int | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a worker must not start.

    Attributes:
        queues: the queues that are paused as a whole.
        jobs: queue and name of each paused job function.
    """

    queues: frozenset[str] = frozenset()
    jobs: frozenset[tuple[str, str]] = frozenset()

    def holds(self, queue: str, job: str) -> bool:
        """Tell whether a job must not be started.

        Args:
            queue: where it is.
            job: the name of its job function.
        """
        return queue in self.queues or (queue, job) in self.jobs

    def getter(self, get: Callable[[str], T | None]) -> Callable[[str], T | None]:
        """Return what finds only the job functions of which nothing at all is paused.

        Args:
            get: what finds them by their names, and comes back itself while nothing is paused: so
                that it costs nothing then.
        """
        if self.queues:
            return lambda _name: None
        if not self.jobs:
            return get
        names = {name for _, name in self.jobs}
        return lambda name: None if name in names else get(name)


def stopped_by(records: Mapping[str, Iterable[PauseRecord]]) -> Stopped:
    """Return what must not be started.

    Args:
        records: what is paused in each queue.
    """
    every = [(queue, record.job) for queue, some in records.items() for record in some]
    return Stopped(
        frozenset(queue for queue, job in every if job is None),
        frozenset((queue, job) for queue, job in every if job is not None),
    )


def field_of(job: str | None) -> str:
    """Return the field of a pause in its hash.

    Raises:
        OptionError: no job function can have that name.
    """
    if job is None:
        return EVERY_JOB
    if not isinstance(job, str) or not job or job == EVERY_JOB or not job.isprintable():
        raise OptionError(f"job is {shown(job)}; use the name of a job function, or leave it out")
    return job


def pack_words(by: str, reason: str) -> bytes:
    """Return what a record says beside its times.

    Raises:
        OptionError: one of the two is no text, or too long.
    """
    for what, text in (("by", by), ("reason", reason)):
        if not isinstance(text, str):
            raise OptionError(f"{what} is {shown(text)}; use text")
        if len(text) > MOST_TEXT:
            raise OptionError(f"{what} has {len(text)} characters; use at most {MOST_TEXT}")
    return bytes(msgpack.packb((by, reason)))


def read_record(field: str, value: bytes) -> PauseRecord:
    """Read a record: ``<since> <until> <words>``. One that nobody can read is a pause all the same.

    It would be wrong to start what somebody wanted to hold, and any record can be resumed.
    """
    parts = value.split(b" ", 2)
    # As in the scripts: only a record that is whole says when it ends.
    times, packed = (parts[:2], parts[2]) if len(parts) == 3 else ((parts[0], b""), b"")
    since, until = (ms_of(part) or 0 for part in times)
    by, reason = _words(packed)
    job = None if field == EVERY_JOB else field
    return PauseRecord(job=job, since_ms=since, until_ms=until or None, by=by, reason=reason)


def pausing(records: tuple[PauseRecord, ...], job: str | None) -> PauseRecord | None:
    """Return the pause that keeps jobs of a job function from starting; None: there is none.

    Args:
        records: those of the queue.
        job: the name of the job function; None: it is not known.
    """
    by_job = {record.job: record for record in records}
    found = by_job.get(None)
    return by_job.get(job) if found is None and job is not None else found


def _words(packed: bytes) -> tuple[str, str]:
    try:
        words = cast("object", msgpack.unpackb(packed))
    except Exception:  # noqa: BLE001  msgpack raises many kinds over garbage
        return "", ""
    match words:
        case [str(by), str(reason)]:
            return by, reason
    return "", ""
