"""Threads that run the sync jobs of a worker with a loop: the main thread, and others."""

import asyncio
import threading
from collections import deque
from contextvars import copy_context
from queue import SimpleQueue
from types import FrameType
from typing import Final

from jobq.core.current import running
from jobq.core.pauses import Stopped
from jobq.errors import JobInterrupted
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.gate import Gate, timed_out
from jobq.runtime.executors.limits import PATIENCE, interrupted
from jobq.runtime.executors.slots import Host, take_cancelled, take_stopped
from jobq.runtime.pace import MOST, Pace

#: No timeout: nothing is ever later.
NEVER: Final = float("inf")

#: What a job has returned that has not returned.
_NOTHING: Final = object()


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
        #: The jobs that run in other threads than the main one, by slot.
        self._gates: dict[int, Gate] = {}
        #: When the loop looks next which of them have run for too long.
        self._looks_at = NEVER
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits here."""
        return bool(self._since or self._waiting)

    @property
    def waits(self) -> bool:
        """Whether a job waits here that has not been started."""
        return bool(self._waiting)

    @property
    def want(self) -> int:
        """How many more jobs there is room for."""
        if not self.count:
            return 0
        held = len(self._since) + len(self._waiting)
        room = min(MOST, self._pace.size * self.count)
        self._low = room // 2
        if self.stuck:  # it would only be given back, and fetched again, for ever
            return 0
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

    def take_cancelled(self) -> list[Delivery]:
        """Take out the jobs that wait and are to end."""
        return take_cancelled(self._waiting, self._executor.notes)

    def take_stopped(self, stopped: Stopped) -> list[Delivery]:
        """Take out the jobs that wait and are paused."""
        return take_stopped(self._waiting, stopped)

    def interrupt_cancelled(self) -> None:
        """End the jobs that run in other threads than the main one and are to end; on the loop."""
        notes = self._executor.notes
        for gate in list(self._gates.values()):
            if notes.wants(gate.delivery.item) and gate.interrupt(JobInterrupted):
                notes.claim(gate.delivery.item)

    def job_in(self, frame: FrameType | None) -> Delivery | None:
        """Return the job in the main thread that may be interrupted in this frame."""
        return interrupted(frame, _CALL, self)

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
            error, value = self._beside(delivery, slot) if slot else self._in_main(delivery)
            delivery.span = began, clock()
            executor.settle(delivery, error, value)
            self._pace.ran(1, clock() - began)
            self._since.pop(slot, None)
            if len(self._waiting) <= self._low or executor.calls_for_trip():
                executor.notify()

    def _in_main(self, delivery: Delivery) -> tuple[BaseException | None, object]:
        """Run a job in the main thread, where signals can interrupt it."""
        try:
            return None, copy_context().run(self._call, delivery)
        except BaseException as error:  # noqa: BLE001  whatever user code raises is a failure
            return error, None

    def _call(self, delivery: Delivery) -> object:
        running.set(delivery)
        delivery.inside = self._executor.notes.inside
        policy, call = delivery.policy, self._executor.attempts.call
        if policy.timeout is None and policy.hard_timeout is None:
            return call(delivery)
        return self._executor.limits.call(call, delivery)

    def _beside(self, delivery: Delivery, slot: int) -> tuple[BaseException | None, object]:
        """Run a job in another thread, where the loop can interrupt it once.

        That may come at any place, also here, until the gate is closed.
        """
        error: BaseException | None = None
        value: object = _NOTHING
        policy, limits = delivery.policy, self._executor.limits
        timeout = NEVER if policy.timeout is None else policy.timeout
        gate = Gate(delivery, self._executor.clock.monotonic() + timeout)
        limits.begin(delivery)
        try:
            try:
                self._gates[slot] = gate
                if gate.deadline < self._looks_at:
                    self._executor.call_on_loop(self._look)
                value = copy_context().run(self._call_beside, delivery)
            except BaseException as raised:  # noqa: BLE001  whatever user code raises is a failure
                error = raised
            gate.close()
        except BaseException as late:  # noqa: BLE001  it came when the job had ended
            gate.close()
            if error is None and value is _NOTHING:
                error = late
        limits.end(delivery)
        self._gates.pop(slot, None)
        return error, value

    def _call_beside(self, delivery: Delivery) -> object:
        running.set(delivery)
        delivery.inside = self._executor.notes.inside
        return self._executor.attempts.call(delivery)

    def _look(self) -> None:
        """End the jobs that have run for too long; on the loop, and again when the next one has.

        A thread that starts a job lets it stand in `_gates` before it looks when this comes next.
        """
        self._looks_at = NEVER
        now = self._executor.clock.monotonic()
        for gate in list(self._gates.values()):
            timeout = gate.delivery.policy.timeout
            if timeout is not None and gate.deadline <= now:
                gate.interrupt(timed_out(timeout))
        later = [gate.deadline for gate in list(self._gates.values()) if gate.deadline > now]
        self._looks_at = min(later, default=NEVER)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._looks_at < NEVER:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(self._looks_at - now, self._look)


_CALL: Final = SyncSlots._call.__code__  # noqa: SLF001  its own
