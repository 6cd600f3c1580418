"""Tasks that run the async jobs of a worker with a loop."""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import cast

from jobq.core.current import CANCELLED, running
from jobq.core.pauses import Stopped
from jobq.errors import JobTimedOut
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import FLUSH, PATIENCE
from jobq.runtime.executors.slots import Host, take_cancelled, take_stopped
from jobq.runtime.pace import MOST


class AsyncSlots:
    """The tasks that run async jobs, and what waits for them.

    Attributes:
        count: how many run at once.
    """

    def __init__(self, executor: Host, count: int) -> None:
        self.count = count
        self._executor = executor
        self._waiting: deque[Delivery] = deque()
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        #: What jobs start with, so that none sees the context variables of another.
        self._context: Context | None = None
        self._ahead = 1
        self._finished = 0
        self._looked = 0.0
        #: When a job was last started.
        self._moved = 0.0

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits here."""
        return bool(self._tasks or self._waiting)

    @property
    def full(self) -> bool:
        """Whether nothing more can be started."""
        return len(self._tasks) >= self.count

    @property
    def want(self) -> int:
        """How many more jobs there is room for: those that can run, and 10 ms of work ahead."""
        if not self.count:
            return 0
        self._learn()
        # Behind jobs that take long it would only be given back, and fetched again, for ever.
        if self.full and (self._is_slow or 2 * len(self._waiting) > self._ahead):
            return 0
        return min(MOST, self.count + self._ahead - len(self._tasks) - len(self._waiting))

    @property
    def stuck(self) -> bool:
        """Whether all tasks run jobs that take long, and others wait behind them."""
        return bool(self._waiting) and self.full and self._is_slow

    @property
    def _is_slow(self) -> bool:
        return self._executor.clock.monotonic() - self._moved > PATIENCE

    def put(self, delivery: Delivery) -> None:
        """Start a job, or let it wait."""
        if len(self._tasks) < self.count:
            self._start(delivery)
        else:
            self._waiting.append(delivery)

    def take_back(self) -> list[Delivery]:
        """Take out the jobs that wait."""
        taken, self._waiting = list(self._waiting), deque()
        return taken

    @property
    def waits(self) -> bool:
        """Whether a job waits here that has not been started."""
        return bool(self._waiting)

    def take_cancelled(self) -> list[Delivery]:
        """Take out the jobs that wait and are to end."""
        return take_cancelled(self._waiting, self._executor.notes)

    def take_stopped(self, stopped: Stopped) -> list[Delivery]:
        """Take out the jobs that wait and are paused."""
        return take_stopped(self._waiting, stopped)

    def interrupt_cancelled(self) -> None:
        """End the jobs that run and are to end; on the loop."""
        notes = self._executor.notes
        for task, delivery in list(self._tasks.items()):
            # One whose task has not begun would end without a word to us: it is looked for again.
            if notes.wants(delivery.item) and _has_begun(task) and notes.claim(delivery.item):
                task.cancel(CANCELLED)

    def _start(self, delivery: Delivery) -> None:
        if self._context is None:
            self._context = copy_context()
        self._moved = self._executor.clock.monotonic()
        self._executor.board.started(delivery.place)
        # From the task of a job that has ended, see `_ended`: its context is not for this one.
        task = asyncio.create_task(self._attempt(delivery), context=self._context.copy())
        self._tasks[task] = delivery

    def _ended(self) -> None:
        """Let the next one start: from the task that ends, not a turn of the loop later."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.pop(task, None)
        self._finished += 1
        if self._waiting:
            self._start(self._waiting.popleft())
        if 2 * len(self._waiting) <= self._ahead or self._executor.calls_for_trip():
            self._executor.wake()

    async def _attempt(self, delivery: Delivery) -> None:
        running.set(delivery)
        delivery.inside = self._executor.notes.inside
        policy, clock = delivery.policy, self._executor.clock.monotonic
        error: BaseException | None = None
        value: object = None
        began = clock()
        try:
            coroutine = cast("Awaitable[object]", self._executor.attempts.call(delivery))
            if policy.timeout is None and policy.hard_timeout is None:
                value = await coroutine
            else:
                value = await self._limited(coroutine, delivery)
        except BaseException as raised:  # noqa: BLE001  whatever user code raises is a failure
            error = raised
        delivery.span = began, clock()
        if self._executor.aborted and isinstance(error, asyncio.CancelledError):
            return  # it is we who fail, not the job: whoever recovers it will run it again
        if delivery.inside is not self._executor.notes.inside:  # it has reported something
            await _close(delivery, succeeded=error is None)
        try:
            self._executor.settle(delivery, error, value)
        finally:
            self._ended()

    async def _limited(self, coroutine: Awaitable[object], delivery: Delivery) -> object:
        timeout, limits = delivery.policy.timeout, self._executor.limits
        limits.begin(delivery)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await coroutine
        except TimeoutError as error:
            if timeout is not None and limit.expired():
                raise JobTimedOut(timeout) from error
            raise
        finally:
            limits.end(delivery)

    def _learn(self) -> None:
        now = self._executor.clock.monotonic()
        if now - self._looked >= FLUSH:
            took, self._looked = now - self._looked, now
            self._ahead = max(1, min(MOST, int(self._finished * FLUSH / took)))
            self._finished = 0


async def _close(delivery: Delivery, *, succeeded: bool) -> None:
    """Wait until Redis has what a job has reported; a cancel that comes now has come too late."""
    closing = asyncio.ensure_future(delivery.aclose(succeeded=succeeded))
    while not closing.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((closing,))


def _has_begun(task: "asyncio.Task[None]") -> bool:
    coroutine = task.get_coro()
    return not inspect.iscoroutine(coroutine) or (
        inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED
    )
