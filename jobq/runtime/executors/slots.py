"""Where the jobs of a worker with a loop run: threads for sync ones, tasks for async ones."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Protocol, cast

from jobq.core.clock import Clock
from jobq.core.current import running
from jobq.errors import JobTimedOut
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import FLUSH, PATIENCE, time_limit
from jobq.runtime.pace import MOST, Pace


class Host(Protocol):
    """What slots ask of the executor that they belong to."""

    @property
    def attempts(self) -> Attempts:
        """What calls job functions."""

    @property
    def board(self) -> Board:
        """The page shared with the supervisor."""

    @property
    def clock(self) -> Clock:
        """What measures durations."""

    @property
    def aborted(self) -> bool:
        """Whether the executor itself has failed, and what still runs is being cancelled."""

    def settle(self, delivery: Delivery, error: BaseException | None, value: object) -> None:
        """Take what a job came to; from any thread."""

    def notify(self) -> None:
        """Hear that something has happened; from any thread."""

    def wake(self) -> None:
        """Hear that something has happened; on the loop."""

    def calls_for_trip(self) -> bool:
        """Whether an outcome should be settled now, and not with those that follow."""


class SyncSlots:
    """The threads that run sync jobs, and what waits for them.

    Attributes:
        count: how many there are.
        part: the part of sync jobs among those read lately.
    """

    def __init__(self, executor: Host, count: int) -> None:
        self.count = count
        self.part = 0.5
        self._executor = executor
        self._pace = Pace()
        self._waiting: deque[Delivery] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._since: dict[int, float] = {}
        self._low = 0

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits here."""
        return bool(self._since or self._waiting)

    @property
    def free(self) -> bool:
        """Whether a thread has nothing to do."""
        return len(self._since) + len(self._waiting) < self.count

    @property
    def want(self) -> int:
        """How many more jobs there is room for."""
        if not self.count:
            return 0
        held = len(self._since) + len(self._waiting)
        room = min(MOST, self._pace.size * self.count)
        self._low = room // 2
        return room - held if 2 * held <= room or held < self.count else 0

    @property
    def stuck(self) -> bool:
        """Whether all threads run jobs that take long."""
        if len(self._since) < self.count or not self.count:
            return False
        limit = self._executor.clock.monotonic() - PATIENCE
        return all(since < limit for since in list(self._since.values()))

    def saw(self, found_sync: int, found_async: int) -> None:
        """Learn what the queues hold: half of the memory is gone after about 70 jobs."""
        found = found_sync + found_async
        self.part += (1 - 0.99**found) * (found_sync / found - self.part)

    def put(self, delivery: Delivery) -> None:
        """Add a job."""
        self._waiting.append(delivery)
        self._tokens.put(True)

    def take_back(self) -> list[Delivery]:
        """Take out the jobs that wait, the last one first."""
        taken = []
        try:
            while True:
                taken.append(self._waiting.pop())
        except IndexError:
            return taken

    def work(self) -> None:
        """Run jobs until `end`: in this thread and, if more are wanted, in others."""
        others = [
            threading.Thread(target=self._work, args=(slot,), name=f"jobq-{slot}", daemon=True)
            for slot in range(1, self.count)
        ]
        for other in others:
            other.start()
        self._work(0)
        for other in others:
            other.join()

    def end(self) -> None:
        """Let the threads end once they have nothing to do."""
        for _ in range(max(1, self.count)):
            self._tokens.put(False)

    def _work(self, slot: int) -> None:
        executor, clock = self._executor, self._executor.clock.monotonic
        while self._tokens.get():
            began = self._since[slot] = clock()
            try:
                delivery = self._waiting.popleft()
            except IndexError:  # it was taken back
                self._since.pop(slot, None)
                continue
            executor.board.started(delivery.place)
            error: BaseException | None = None
            value: object = None
            try:
                value = copy_context().run(self._call, delivery, slot)
            except BaseException as raised:  # noqa: BLE001  whatever user code raises is a failure
                error = raised
            executor.settle(delivery, error, value)
            self._pace.ran(1, clock() - began)
            self._since.pop(slot, None)
            if len(self._waiting) <= self._low or executor.calls_for_trip():
                executor.notify()

    def _call(self, delivery: Delivery, slot: int) -> object:
        running.set(delivery)
        if delivery.policy.timeout is None or slot or self.count > 1:
            return self._executor.attempts.call(delivery)
        with time_limit(delivery.policy.timeout):
            return self._executor.attempts.call(delivery)


class AsyncSlots:
    """The tasks that run async jobs, and what waits for them.

    Attributes:
        count: how many run at once.
    """

    def __init__(self, executor: Host, count: int) -> None:
        self.count = count
        self._executor = executor
        self._waiting: deque[Delivery] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
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
        if len(self._tasks) == self.count and 2 * len(self._waiting) > self._ahead:
            return 0
        return min(MOST, self.count + self._ahead - len(self._tasks) - len(self._waiting))

    @property
    def stuck(self) -> bool:
        """Whether all tasks run jobs that take long, and others wait behind them."""
        if not self._waiting or len(self._tasks) < self.count:
            return False
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

    def _start(self, delivery: Delivery) -> None:
        self._moved = self._executor.clock.monotonic()
        self._executor.board.started(delivery.place)
        task = asyncio.create_task(self._attempt(delivery))
        self._tasks.add(task)

    def _ended(self) -> None:
        """Let the next one start: from the task that ends, not a turn of the loop later."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)
        self._finished += 1
        if self._waiting:
            self._start(self._waiting.popleft())
        if 2 * len(self._waiting) <= self._ahead or self._executor.calls_for_trip():
            self._executor.wake()

    async def _attempt(self, delivery: Delivery) -> None:
        running.set(delivery)
        error: BaseException | None = None
        value: object = None
        try:
            coroutine = cast("Awaitable[object]", self._executor.attempts.call(delivery))
            if delivery.policy.timeout is None:
                value = await coroutine
            else:
                value = await _limited(coroutine, delivery.policy.timeout)
        except BaseException as raised:  # noqa: BLE001  whatever user code raises is a failure
            error = raised
        if self._executor.aborted and isinstance(error, asyncio.CancelledError):
            return  # it is we who fail, not the job: whoever recovers it will run it again
        try:
            self._executor.settle(delivery, error, value)
        finally:
            self._ended()

    def _learn(self) -> None:
        now = self._executor.clock.monotonic()
        if now - self._looked >= FLUSH:
            took, self._looked = now - self._looked, now
            self._ahead = max(1, min(MOST, int(self._finished * FLUSH / took)))
            self._finished = 0


async def _limited(coroutine: Awaitable[object], seconds: float) -> object:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await coroutine
    except TimeoutError as error:
        if limit.expired():
            raise JobTimedOut(seconds) from error
        raise
