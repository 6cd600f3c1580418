"""The job that runs here: what user code can ask about itself."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from jobq.errors import JobqError


class Running(Protocol):
    """What a worker puts here before it calls a job function."""

    @property
    def running_job(self) -> "RunningJob":
        """The same for users, made only when one asks."""


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

    def still_mine(self) -> bool:
        """Tell whether this attempt still holds its lease, as far as is known here.

        False means that the job may have been started elsewhere, because this worker was cut off
        or its machine stood still for too long: what this attempt comes to will be refused. Ask
        before a step that must not happen twice. It asks no one, so it costs nothing; what
        happened in the last quarter of a lease may not be known yet.
        """
        return self._mine()

    def __reduce__(self) -> tuple[type["RunningJob"], tuple[object, ...]]:
        """Travel to other processes as what it says; there, nobody knows of the lease."""
        return RunningJob, (self.id, self.name, self.queue, self.attempt, self.enqueued_at)


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
