"""What is asked about a job: its state, its result, its end. Imported at the first question.

A producer that only enqueues does not pay for it: 10 ms, for results, dead letters and histories.
"""

from collections.abc import Callable

from jobq.client.blocking import wait
from jobq.client.producer import Producer
from jobq.client.waiting import Waiting
from jobq.core.clock import SystemClock
from jobq.core.duration import Duration
from jobq.core.job import JobState
from jobq.errors import JobNotFound
from jobq.store.ops.control import interrupt
from jobq.store.ops.inspect import look, queues
from jobq.store.ops.manage import CANCELLED_IT, IS_RUNNING, cancel, mark

_CLOCK = SystemClock()

#: Makes a plain value what the annotation of the job function says; None: leave it plain.
Build = Callable[[object], object] | None


class Asking:
    """Questions about one job. See `jobq.client.handle.JobHandle`, which asks them."""

    __slots__ = ("_job_id", "_producer", "_queue")

    def __init__(self, producer: Producer, queue: str, job_id: str) -> None:
        self._producer = producer
        self._queue = queue
        self._job_id = job_id

    def status(self) -> JobState:
        """Return where the job is."""
        return self._known(self._producer.store.run(look(self._queue, self._job_id)).state)

    async def astatus(self) -> JobState:
        """See `status`."""
        seen = await self._producer.aio.store.run(look(self._queue, self._job_id))
        return self._known(seen.state)

    def result(self, timeout: Duration | None, build: Build) -> object:
        """Wait until the job has ended, and return what it returned."""
        waiting = self._waiting(timeout, build)
        return wait(self._producer.store, self._queue, self._job_id, waiting)

    async def aresult(self, timeout: Duration | None, build: Build) -> object:
        """See `result`."""
        waiting = self._waiting(timeout, build)
        return await self._producer.aio.wait(self._queue, self._job_id, waiting)

    def cancel(self) -> bool:
        """Cancel the job if it waits, interrupt it if it runs; tell whether it did either."""
        run, queue, job_id = self._producer.store.run, self._queue, self._job_id
        answer = run(cancel(queue, job_id))
        if answer == IS_RUNNING:
            run(interrupt(queue, job_id, run(mark(queue, job_id))))
        return answer in {CANCELLED_IT, IS_RUNNING}

    async def acancel(self) -> bool:
        """See `cancel`."""
        run, queue, job_id = self._producer.aio.store.run, self._queue, self._job_id
        answer = await run(cancel(queue, job_id))
        if answer == IS_RUNNING:
            await run(interrupt(queue, job_id, await run(mark(queue, job_id))))
        return answer in {CANCELLED_IT, IS_RUNNING}

    def _known(self, state: JobState | None) -> JobState:
        if state is None:
            raise JobNotFound(self._job_id)
        return state

    def _waiting(self, timeout: Duration | None, build: Build) -> Waiting:
        return Waiting(self._job_id, self._producer.codec, build, timeout, _CLOCK.monotonic())


def find_queue(producer: Producer, job_id: str) -> str:
    """Return the queue that a job is in, or left its result in.

    Raises:
        JobNotFound: no queue knows it.
    """
    run = producer.store.run
    for queue in run(queues()):
        if run(look(queue, job_id)).state is not None:
            return queue
    raise JobNotFound(job_id)


async def afind_queue(producer: Producer, job_id: str) -> str:
    """See `find_queue`."""
    run = producer.aio.store.run
    for queue in await run(queues()):
        if (await run(look(queue, job_id))).state is not None:
            return queue
    raise JobNotFound(job_id)
