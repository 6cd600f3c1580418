"""Async jobs, many at once on one event loop, and sync jobs in threads beside it.

The loop has a thread of its own and does all the talking to Redis; sync jobs run in the main
thread (one at a time) or in as many threads as asked for. Neither kind holds up the other: when
one is full, only the other is fetched for.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

from jobq.core.clock import Clock
from jobq.core.pauses import Stopped
from jobq.errors import JobInterrupted, StoreDenied, StoreError, StoreUnavailable
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import BUSY, DRAINING, WAITING, Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import BURST_LOOK, FAREWELL, FLUSH, PATIENCE, Limits
from jobq.runtime.executors.plan import Plan
from jobq.runtime.executors.pump import Pump
from jobq.runtime.executors.tasks import AsyncSlots
from jobq.runtime.executors.threads import SyncSlots
from jobq.runtime.intake import Intake
from jobq.runtime.link import Freshness
from jobq.runtime.notes import Notes
from jobq.runtime.outbox import Outbox
from jobq.runtime.pace import MOST, Probe, share
from jobq.runtime.paused import LOOK, Paused
from jobq.store.connect import Locate
from jobq.store.ops import fetch

log = logging.getLogger("jobq.worker")


class LoopExecutor:
    """Runs the async and the sync jobs of one worker.

    Attributes:
        attempts: what reads deliveries.
        board: the page shared with the supervisor.
        clock: what measures durations.
        notes: what the supervisor has said of single jobs.
        limits: what keeps the limits of jobs.
        aborted: it has failed itself, and what still runs is being cancelled.
    """

    def __init__(
        self,
        plan: Plan,
        attempts: Attempts,
        locate: Locate,
        board: Board,
        clock: Clock,
        notes: Notes,
    ) -> None:
        self._plan = plan
        self.attempts = attempts
        self._locate = locate
        self.board = board
        self.clock = clock
        self.notes = notes
        self.limits = Limits(board, clock, plan.grace)
        #: How many more jobs may be handed to the slots; infinite if any number.
        self._left = float("inf") if plan.max_jobs is None else plan.max_jobs
        self._new = not plan.isolated
        self._outbox = Outbox(plan.queues, plan.consumer, board)
        self._paused = Paused(board.sheet, plan.queues, self._heed)
        self._intake = Intake(
            plan.queues, plan.consumer, self._outbox, board, plan.weights, paused=self._paused
        )
        self._sync = SyncSlots(self, plan.threads if plan.has_sync else 0)
        self._async = AsyncSlots(self, plan.concurrency if plan.has_async else 0)
        self._probe_sync = Probe()
        self._probe_async = Probe()
        self._stopping = False
        self._changed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notified = False
        self._last_trip = 0.0
        self._looks_again = False
        self.aborted = False
        self._failure: BaseException | None = None

    # from the main thread

    def stop(self) -> None:
        """Finish what runs, give the rest back, and end; safe in a signal handler."""
        self._stopping = True
        self.notify()

    def interrupt(self, frame: FrameType | None) -> None:
        """Read the notes; called by their signal, in the main thread.

        Raises:
            JobInterrupted: the job that runs in this thread is to end.
        """
        self.notes.take()
        delivery = self._sync.job_in(frame)
        here = delivery is not None and self.notes.claim(delivery.item)
        self.notify()  # also where there is no note: something may have been paused
        if here:
            raise JobInterrupted

    @property
    def replaced(self) -> bool:
        """Whether it has run as many jobs as it may."""
        return self._left <= 0

    def run(self) -> None:
        """Run until stopped, or until the queues are empty in a burst."""
        thread = threading.Thread(target=self._run_loop, name="jobq-loop", daemon=True)
        thread.start()
        self._sync.work()  # returns when the loop has ended
        thread.join()
        if self._failure is not None:
            raise self._failure

    def notify(self) -> None:
        """Tell the loop that something has happened; from any thread."""
        if not self._notified:
            self._notified = True
            loop = self._loop
            if loop is not None:
                with contextlib.suppress(RuntimeError):  # it has ended
                    loop.call_soon_threadsafe(self.wake)

    def settle(self, delivery: Delivery, error: BaseException | None, value: object) -> None:
        """Put what a job came to into the outbox; from any thread."""
        self.board.stopped(delivery.place)
        if error is not None:
            cancelled = self.notes.asked(delivery.item)
            op = self.attempts.failed(delivery, error, cancelled=cancelled)
            self._outbox.add(op, delivery.item)
        elif delivery.count or delivery.inside is not self.notes.inside:
            self._outbox.add(self.attempts.succeeded(delivery, value), delivery.item)
        else:
            self._outbox.done[delivery.line].append(self.attempts.done(delivery, value))

    def call_on_loop(self, function: Callable[[], None]) -> None:
        """Call something on the loop; from any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(function)

    # on the loop

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  told to the main thread
            self._failure = error
        finally:
            self._sync.end()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        pump = Pump(
            self._locate,
            self._intake,
            self._outbox,
            self.board,
            consumer=self._plan.consumer,
            stopping=lambda: self._stopping,
            freshness=Freshness(self.clock, self._plan.lease),
        )
        try:
            await pump.connect()
            self.board.says(BUSY)
            await self._fetch_until_stopped(pump)
            self.board.says(DRAINING)
            self._give_back_waiting()
            await self._leave(pump)
        except BaseException:
            self.aborted = True
            raise
        finally:
            await pump.close()

    async def _leave(self, pump: Pump) -> None:
        late = self.clock.monotonic() + FAREWELL
        while self._sync.busy or self._async.busy or self._outbox:
            await pump.flush()
            if self._sync.busy or self._async.busy:
                late = self.clock.monotonic() + FAREWELL
                await self._until_changed(FLUSH)
            elif self._outbox and (self._outbox.refused or self.clock.monotonic() > late):
                log.warning("left outcomes unsettled jobs=%d", len(self._outbox))
                break

    async def _fetch_until_stopped(self, pump: Pump) -> None:
        refusal = ""
        while not self._stopping:
            try:
                await self._cycle(pump)
                refusal = ""
            except StoreUnavailable as error:
                log.debug("lost connection error=%s", error)
                await pump.connect()
            except StoreDenied:
                raise
            except StoreError as error:  # Redis is there and refuses: say so, do not spin
                if refusal != (refusal := str(error)):
                    log.warning("refused by redis error=%s", error)
                await self._until_changed(1.0)

    async def _cycle(self, pump: Pump) -> None:
        self._paused.look()
        if self._left <= 0 and not self._sync.waits and not self._async.waits:
            self._stopping = True  # all that it may run has been started
            return
        want, kinds = self._room()
        want = int(min(want, self._left))
        if want <= 0:
            await self._idle(pump)
            return
        self._last_trip = self.clock.monotonic()
        taken = await pump.fetch(want, kinds, new=self._new)
        self._dispatch()
        if not taken and await self._is_over(pump):
            self._stopping = True
        elif not taken:
            await self._wait(pump)

    async def _is_over(self, pump: Pump) -> bool:
        """Whether, with nothing to fetch now, there will be nothing to do any more."""
        if self._sync.busy or self._async.busy:
            return False
        return self._plan.isolated or (self._plan.burst and await pump.is_empty())

    async def _wait(self, pump: Pump) -> None:
        """Wait for a job, while outcomes of what runs are settled as they come."""
        block = self._intake.block()
        if self._plan.burst:
            block = min(block, BURST_LOOK)
        if not self._new or not self._intake.open:
            await pump.flush()  # where all is paused, nothing is fetched that would do it
            await self._idle(pump, LOOK)
            return
        self.board.says(WAITING)
        if not self._stopping:
            reading = pump.start_wait(block)
            reading.add_done_callback(self.wake)
            while not reading.done():
                await self._idle(pump)
            await pump.woke(reading)
        self.board.says(BUSY)
        self._dispatch()

    async def _idle(self, pump: Pump, seconds: float = PATIENCE) -> None:
        """Wait until something has happened; settle what has, but not each outcome by itself."""
        since = self.clock.monotonic() - self._last_trip
        if since >= FLUSH / 2 and self._outbox:
            self._last_trip = self.clock.monotonic()
            await pump.flush()
            since = 0.0
        self._paused.look()
        self._relieve()
        await self._until_changed(FLUSH / 2 - since if since < FLUSH / 2 else seconds)

    def calls_for_trip(self) -> bool:
        """Whether an outcome should be settled now, and not with those that follow."""
        return self.clock.monotonic() - self._last_trip > FLUSH / 2

    def _room(self) -> tuple[int, str]:
        """Return how many jobs to fetch, and which waiting retries may come."""
        if self._plan.isolated:
            return int(not self._sync.busy and not self._async.busy), self._plan.kinds
        want_sync, want_async = self._sync.want, self._async.want
        kinds = self._plan.kinds
        if want_sync > 0:
            kinds += fetch.SYNC
        if want_async > 0:
            kinds += fetch.ASYNC
        if not self._sync.count or not self._async.count:
            # Only one kind of function: a job that was of the other in an older release is ours.
            return max(want_sync, want_async), self._plan.kinds + fetch.SYNC + fetch.ASYNC
        now = self.clock.monotonic()
        if want_sync > 0 and want_async > 0:
            return min(MOST, share(want_sync, want_async, self._sync.part)), kinds
        if want_async > 0 and self._sync.stuck:
            return self._probe_async.want(want_async, now), kinds
        if want_sync > 0 and self._async.full:
            return self._probe_sync.want(want_sync, now), kinds
        return 0, kinds

    def _dispatch(self) -> None:
        """Hand what was fetched to the slots of its kind."""
        waiting = self._intake.waiting
        sync_stuck, async_full = self._sync.stuck, self._async.full
        found_sync = found_async = 0
        while waiting:
            item = waiting.popleft()
            delivery = self.attempts.read(item)
            if not isinstance(delivery, Delivery):
                self._outbox.add(delivery, item)
                continue
            if self._left <= 0:
                self._outbox.add(self.attempts.give_back(delivery), item)
                continue
            self._left -= 1
            if delivery.definition.is_async:
                found_async += 1
                self._async.put(delivery)
            else:
                found_sync += 1
                self._sync.put(delivery)
        if found_sync or found_async:
            self._sync.saw(found_sync, found_async)
            now = self.clock.monotonic()
            if sync_stuck:
                self._probe_async.found(found_sync, now)
            if async_full:
                self._probe_sync.found(found_async, now)

    def _relieve(self) -> None:
        """Give back jobs that wait behind others that take long."""
        for slots in (self._sync, self._async):
            if slots.stuck:
                for delivery in slots.take_back():
                    self._left += 1
                    self._outbox.add(self.attempts.give_back(delivery), delivery.item)

    def _heed(self, stopped: Stopped) -> None:
        """Start none of what is paused: not what waits here either; on the loop."""
        self.attempts.heed(stopped)
        for delivery in [*self._sync.take_stopped(stopped), *self._async.take_stopped(stopped)]:
            self._left += 1
            self._intake.waiting.append(delivery.item)  # to be read again, and set aside
        if self._intake.waiting:
            self._dispatch()

    def _end_cancelled(self) -> None:
        """End the jobs whose cancel was asked for, where they wait or run; on the loop.

        One that is in between is looked for again, in the main thread too.
        """
        notes = self.notes
        for item in [item for item in self._intake.waiting if notes.wants(item)]:
            self._intake.waiting.remove(item)
            delivery = self.attempts.read(item)
            notes.claim(item)
            if isinstance(delivery, Delivery):
                self._outbox.add(self.attempts.cancelled(delivery), item)
            else:
                self._outbox.add(delivery, item)
        for delivery in [*self._sync.take_cancelled(), *self._async.take_cancelled()]:
            self._left += 1
            notes.claim(delivery.item)
            self._outbox.add(self.attempts.cancelled(delivery), delivery.item)
        self._sync.interrupt_cancelled()
        self._async.interrupt_cancelled()
        notes.forget_old()
        if notes.wanted and not self._looks_again:
            assert self._loop is not None
            self._looks_again = True
            self._loop.call_later(FLUSH, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        if self.notes.wanted:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGUSR1)  # whose handler notifies us, too

    def _give_back_waiting(self) -> None:
        for item in self._intake.waiting:
            delivery = self.attempts.read(item)
            op = self.attempts.give_back(delivery) if isinstance(delivery, Delivery) else delivery
            self._outbox.add(op, item)
        self._intake.waiting.clear()
        for delivery in [*self._sync.take_back(), *self._async.take_back()]:
            self._left += 1
            self._outbox.add(self.attempts.give_back(delivery), delivery.item)

    async def _until_changed(self, seconds: float) -> None:
        """Wait until something has happened, at most so long."""
        assert self._changed is not None
        assert self._loop is not None
        alarm = self._loop.call_later(seconds, self.wake)
        await self._changed.wait()
        alarm.cancel()
        self._changed.clear()

    def wake(self, _done: object = None) -> None:
        """Look what has happened; on the loop."""
        self._notified = False
        if self.notes.wanted:
            self._end_cancelled()
        if self._changed is not None:
            self._changed.set()
