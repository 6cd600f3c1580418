"""Handles: what a caller holds of a job."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from jobq.client.blocking import wait
from jobq.client.producer import Producer
from jobq.client.waiting import Waiting
from jobq.core.clock import SystemClock
from jobq.core.duration import Duration
from jobq.core.job import JobState
from jobq.errors import JobNotFound
from jobq.store.ops.inspect import look
from jobq.store.ops.manage import CANCELLED_IT, cancel

R = TypeVar("R")

_CLOCK: Final = SystemClock()


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
        return self._known(self._producer.store.run(look(self.queue, self.id)).state)

    async def astatus(self) -> JobState:
        """See `status`."""
        return self._known((await self._producer.aio.store.run(look(self.queue, self.id))).state)

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
            JobCancelled: it was cancelled.
            JobNotFound: there is no such job.
            ResultUnreadable: it has ended without a result (result_ttl=0), or with one that
                cannot be read here.
            OptionError: the timeout is not a duration.
            StoreError: Redis refused, or cannot be reached.
        """
        return cast("R", wait(self._producer.store, self.queue, self.id, self._wait_for(timeout)))

    async def aresult(self, timeout: Duration | None = None) -> R:
        """See `result`."""
        waiting = self._wait_for(timeout)
        return cast("R", await self._producer.aio.wait(self.queue, self.id, waiting))

    def cancel(self) -> bool:
        """Cancel the job if it waits for an attempt.

        Returns:
            True when it was cancelled just now; False when nothing was done: it runs, it has
            ended, it is dead, or there is no such job.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        return self._producer.store.run(cancel(self.queue, self.id)) == CANCELLED_IT

    async def acancel(self) -> bool:
        """See `cancel`."""
        return await self._producer.aio.store.run(cancel(self.queue, self.id)) == CANCELLED_IT

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} in {self.queue}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.queue, self.id) == (other.queue, other.id)

    def __hash__(self) -> int:
        return hash((self.queue, self.id))

    def _known(self, state: JobState | None) -> JobState:
        if state is None:
            raise JobNotFound(self.id)
        return state

    def _wait_for(self, timeout: Duration | None) -> Waiting:
        codec = self._producer.codec
        return Waiting(self.id, codec, self._build, timeout, _CLOCK.monotonic())
