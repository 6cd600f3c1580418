"""Handles: what a caller holds of a job."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from jobq.client.late import ASKING, FOLLOWING, load
from jobq.client.producer import Producer
from jobq.core.duration import Duration
from jobq.core.job import JobState

if TYPE_CHECKING:
    from jobq.client.asking import Asking
    from jobq.client.following import Following
    from jobq.core.reports import LogLine, Part, Progress

R = TypeVar("R")


class JobHandle(Generic[R]):
    """One job, as its caller holds it. Two handles of one job are equal.

    Attributes:
        id: the id of the job.
        queue: where it waits, or waited.
    """

    __slots__ = ("_build", "_producer", "id", "queue")

    def __init__(
        self,
        producer: Producer,
        queue: str,
        job_id: str,
        build: Callable[[object], object] | None = None,
    ) -> None:
        self._producer = producer
        self._build = build
        self.id: Final = job_id
        self.queue: Final = queue

    def status(self) -> JobState:
        """Return where the job is.

        Raises:
            JobNotFound: it has finished and its result is no longer kept, or it never was.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._ask().status()

    async def astatus(self) -> JobState:
        """See `status`."""
        return await self._ask().astatus()

    def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job has ended, and return what it returned.

        Args:
            timeout: how long to wait: seconds, a timedelta or text such as ``"5m"``; None: until
                it has ended; 0: just look.

        Returns:
            The value, as data that travels; where the function's return annotation is an Enum, a
            dataclass, a pydantic model or a container of them, made that again. A handle from
            `JobQ.handle` or `JobQ.send` knows no annotation and gives the plain data.

        Raises:
            ResultNotReady: it has not ended in time; it goes on.
            JobFailed: it is dead; has the remote traceback.
            JobExpired: it waited longer than ``expires`` allows, and was not started.
            JobCancelled: it was cancelled.
            JobNotFound: there is no such job.
            ResultUnreadable: it has ended without a result (result_ttl=0), or with one that
                cannot be read here.
            OptionError: the timeout is not a duration.
            StoreError: Redis refused, or cannot be reached.
        """
        return cast("R", self._ask().result(timeout, self._build))

    async def aresult(self, timeout: Duration | None = None) -> R:
        """See `result`."""
        return cast("R", await self._ask().aresult(timeout, self._build))

    def cancel(self) -> bool:
        """Cancel the job.

        One that waits, for its first or a later attempt, is cancelled at once. One that runs is
        interrupted, as by its timeout: `status` stays ``running`` until that is over, then
        `result` raises `JobCancelled`. It does not start again. If it ends by itself before it is
        interrupted, it ends as it does.

        Returns:
            True when it was cancelled just now, or is being interrupted; False when nothing was
            done: it has ended, it is dead, or there is no such job.

        Raises:
            StoreError: Redis refused, or cannot be reached. Calling again is harmless.
        """
        return self._ask().cancel()

    async def acancel(self) -> bool:
        """See `cancel`."""
        return await self._ask().acancel()

    def progress(self) -> "Progress | None":
        """Return how far the job is; None: it has not said, or that is no longer kept.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        return self._follow().progress()

    async def aprogress(self) -> "Progress | None":
        """See `progress`."""
        return await self._follow().aprogress()

    def logs(self, *, follow: bool = False) -> "Iterator[LogLine]":
        """Go through the log lines that the job has kept, the last 200.

        Args:
            follow: wait for more, until the job has ended.

        Raises:
            JobNotFound: with ``follow``: there is no such job, and no line of it.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._follow().logs(follow=follow)

    def alogs(self, *, follow: bool = False) -> "AsyncIterator[LogLine]":
        """See `logs`: ``async for line in handle.alogs()``."""
        return self._follow().alogs(follow=follow)

    def stream(self, after: str | None = None) -> "Iterator[Part]":
        """Go through what the job streams, until it has ended; any number may read at once.

        Args:
            after: the id of the last part that was read, to go on after it, also in another
                process; None: from the first that is kept.

        Raises:
            ValueError: that is no id of a part.
            JobNotFound: there is no such job, and no part of it.
            ResultUnreadable: a part has a type that is not known here.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._follow().stream(after)

    def astream(self, after: str | None = None) -> "AsyncIterator[Part]":
        """See `stream`: ``async for part in handle.astream()``."""
        return self._follow().astream(after)

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} in {self.queue}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.queue, self.id) == (other.queue, other.id)

    def __hash__(self) -> int:
        return hash((self.queue, self.id))

    def _follow(self) -> "Following":
        return cast("Following", load(FOLLOWING).Following(self._producer, self.queue, self.id))

    def _ask(self) -> "Asking":
        return cast("Asking", load(ASKING).Asking(self._producer, self.queue, self.id))
