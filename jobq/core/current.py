"""The job that runs here: what user code can ask about itself."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from jobq.errors import JobqError


class Running(Protocol):
    """What a worker puts here before it calls a job function."""

    @property
    def running_job(self) -> "RunningJob":
        """The same for users, made only when one asks."""
        ...

    def redact(self, text: str) -> str:
        """Return a text without the sensitive arguments of the job."""
        ...


class Reports(Protocol):
    """What takes the reports of one attempt. See `RunningJob`, whose methods call these."""

    def progress(self, fraction: float, note: str) -> None:
        """Say how far it is."""

    def log(self, text: str, level: str) -> None:
        """Keep a line with the job."""

    def stream(self, chunk: object) -> None:
        """Send a chunk to those who read."""

    async def astream(self, chunk: object) -> None:
        """See `stream`."""

    def checkpoint(self, value: object) -> None:
        """Keep a value for the next attempt."""

    async def acheckpoint(self, value: object) -> None:
        """See `checkpoint`."""

    def checkpointed(self) -> object:
        """Return the value of the last checkpoint."""

    async def acheckpointed(self) -> object:
        """See `checkpointed`."""


def _elsewhere() -> Reports:
    raise JobqError("a job reports from the process of its worker only")


@dataclass(frozen=True, slots=True)
class RunningJob:
    """The job that runs here.

    Attributes:
        id: the id of the job, the same in each attempt.
        name: the name of the job function.
        queue: where the job waited.
        attempt: which attempt this is, from 1.
        enqueued_at: when the job was enqueued (Redis clock).
    """

    id: str
    name: str
    queue: str
    attempt: int
    enqueued_at: datetime
    _mine: Callable[[], bool] = field(default=lambda: True, repr=False, compare=False)
    _reports: Callable[[], Reports] = field(default=_elsewhere, repr=False, compare=False)
    _headers: Callable[[], Mapping[str, str]] = field(default=dict, repr=False, compare=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """What travels with the call beside its arguments, by name."""
        return self._headers()

    def still_mine(self) -> bool:
        """Tell whether this attempt still holds its lease, as far as is known here.

        False means that the job may have been started elsewhere, because this worker was cut off
        or its machine stood still for too long: what this attempt comes to will be refused. Ask
        before a step that must not happen twice. It asks no one, so it costs nothing; what
        happened in the last quarter of a lease may not be known yet.
        """
        return self._mine()

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the job is; the last word counts. It does not wait for Redis.

        Args:
            fraction: from 0 to 1.
            note: what is being done, up to 200 characters.

        Raises:
            TypeError, ValueError: the fraction is not a number.
            JobqError: this is not the process of the worker.
        """
        self._reports().progress(fraction, note)

    def log(self, text: str, level: str = "INFO") -> None:
        """Keep a line with the job: the last 200 of up to 2,000 characters. It does not wait.

        `jobq.JobLogHandler` does this with the lines of `logging`.

        Raises:
            JobqError: this is not the process of the worker.
        """
        self._reports().log(text, level)

    def stream(self, chunk: object) -> None:
        """Send a partial result to whoever reads `JobHandle.stream`.

        It goes out within some milliseconds, in order. When more than 256 chunks or 256 KiB are
        still on their way, this waits for Redis, in a coroutine use `astream`. The last 10,000
        chunks, and 8 MiB, of a job are kept.

        Args:
            chunk: what can travel, of up to 256 KiB.

        Raises:
            NotEncodable, ReportTooLarge: it cannot.
            AttemptLost: others have this job by now.
            JobqError: this is not the process of the worker.
        """
        self._reports().stream(chunk)

    async def astream(self, chunk: object) -> None:
        """See `stream`."""
        await self._reports().astream(chunk)

    def checkpoint(self, value: object) -> None:
        """Keep a value for the next attempt; it survives the death of this process.

        When this returns, the value is in Redis, in the place of the one before. It is kept for 30
        days, with a dead letter too, and goes when the job succeeds.

        Args:
            value: what can travel, of up to 512 KiB.

        Raises:
            NotEncodable, ReportTooLarge: it cannot.
            AttemptLost: others have this job by now; nothing was written.
            StoreError: Redis refused, or cannot be reached: it may not be kept.
            JobqError: this is not the process of the worker.
        """
        self._reports().checkpoint(value)

    async def acheckpoint(self, value: object) -> None:
        """See `checkpoint`."""
        await self._reports().acheckpoint(value)

    @property
    def checkpointed(self) -> object:
        """What was kept last by `checkpoint`, by this attempt or one before; None: nothing.

        The first time it asks Redis, so a coroutine uses `acheckpointed`.

        Raises:
            StoreError: Redis cannot be reached.
            CallUnreadable: this release cannot read it.
        """
        return self._reports().checkpointed()

    async def acheckpointed(self) -> object:
        """See `checkpointed`."""
        return await self._reports().acheckpointed()

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to other processes as what it says; there, nobody knows of the lease."""
        facts = self.id, self.name, self.queue, self.attempt, self.enqueued_at
        return _arrived, (facts, dict(self.headers))


def _arrived(facts: tuple[str, str, str, int, datetime], headers: dict[str, str]) -> RunningJob:
    return RunningJob(*facts, _headers=headers.copy)


#: What the CancelledError says that ends an async job whose cancel was asked for.
CANCELLED: Final = "the job was cancelled"

#: Set by the worker; follows user code into the tasks and threads that it starts.
running: ContextVar[Running] = ContextVar("jobq_running")


def current_job() -> RunningJob:
    """Return the job that runs here.

    Raises:
        JobqError: no job runs here.
    """
    try:
        return running.get().running_job
    except LookupError:
        raise JobqError("current_job() was called outside of a job") from None


def moment(ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
