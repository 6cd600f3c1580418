"""Sync jobs, one at a time, in the main thread: the fastest way, and the default.

While a batch of short jobs runs, the next one is already on its way: outcomes go out and jobs come
in with one round trip that the main thread does not wait for. While one job takes long, a second
thread settles what had finished before it and gives back what waits behind it, so that a slow
job holds nothing up.
"""

import contextvars
import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from jobq.core.clock import Clock
from jobq.core.current import running as current
from jobq.errors import JobInterrupted, StoreError, StoreUnavailable
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import BUSY, DRAINING, WAITING, Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import BURST_LOOK, FAREWELL, FLUSH, PATIENCE, Limits, interrupted
from jobq.runtime.executors.plan import Plan
from jobq.runtime.executors.relief import Relief
from jobq.runtime.intake import Intake, Source
from jobq.runtime.link import Freshness, Link
from jobq.runtime.notes import Notes
from jobq.runtime.outbox import Outbox
from jobq.runtime.pace import Pace
from jobq.runtime.paused import LOOK, Paused
from jobq.store.connection import Connection
from jobq.store.ops import fetch
from jobq.store.wire import Answers, Op

log = logging.getLogger("jobq.worker")

#: From this size of a batch on, the next one is fetched while it runs. Below, the round trip is
#: small beside the jobs, and to hold more of them would keep them from others.
AHEAD_FROM: Final = 16


class InlineExecutor:
    """Runs the sync jobs of one worker."""

    def __init__(
        self,
        plan: Plan,
        attempts: Attempts,
        connect: Callable[[], Connection],
        board: Board,
        clock: Clock,
        notes: Notes,
    ) -> None:
        self._plan = plan
        self._attempts = attempts
        self._board = board
        self._clock = clock
        self._notes = notes
        self._inside = notes.inside
        self._limits = Limits(board, clock, plan.grace)
        #: How many more jobs may be started; infinite if any number.
        self._left = float("inf") if plan.max_jobs is None else plan.max_jobs
        self._kinds = plan.kinds if plan.isolated else plan.kinds + fetch.SYNC + fetch.ASYNC
        self._new = not plan.isolated
        self._stopping = False
        self._stop = threading.Event()
        self._outbox = Outbox(plan.queues, plan.consumer, board)
        self._paused = Paused(board.sheet, plan.queues, attempts.heed)
        self._intake = Intake(
            plan.queues, plan.consumer, self._outbox, board, plan.weights, paused=self._paused
        )
        self._pace = Pace()
        #: When the job that runs was started; 0: none runs.
        self._busy_since = 0.0
        #: The queue whose next batch is on its way. Whoever takes it off reads the answer: the main
        #: thread after its batch, or the other one during a job that takes long.
        self._ahead: list[Source] = []
        self._landing = threading.Lock()
        self._link = self._make_link(connect(), alone=True)
        self._relief = Relief(self.relieve, self._make_link(connect(), alone=False))

    def stop(self) -> None:
        """Finish the job that runs, give the rest back, and end; safe in a signal handler."""
        self._stopping = True
        self._stop.set()

    def interrupt(self, frame: FrameType | None) -> None:
        """Read the notes; called by their signal, in the main thread.

        Raises:
            JobInterrupted: the job that runs here is to end.
        """
        self._notes.take()
        delivery = interrupted(frame, _CALL, self)
        if delivery is not None and self._notes.claim(delivery.item):
            raise JobInterrupted

    @property
    def replaced(self) -> bool:
        """Whether it has run as many jobs as it may."""
        return self._left <= 0

    def run(self) -> None:
        """Fetch and run until stopped, or until the queues are empty in a burst."""
        self._relief.start()
        refusal = ""
        try:
            self._link.connect()
            self._board.says(BUSY)
            while not self._stopping:
                try:
                    self._cycle()
                    refusal = ""
                except StoreUnavailable as error:
                    log.debug("lost connection error=%s", error)
                    self._rest()
                    self._link.connect()
                except StoreError as error:  # Redis is there and refuses: say so, do not spin
                    self._rest()
                    if refusal != (refusal := str(error)):
                        log.warning("refused by redis error=%s", error)
                    self._stop.wait(1.0)
        finally:
            self._board.says(DRAINING)
            self._relief.stop()
            self._leave()

    def _cycle(self) -> None:
        self._paused.look()
        self._link.look_for_missed()
        if not self._intake.waiting:
            self._fetch()
        if len(self._intake.waiting) > self._left:
            self._give_back(self._left)
        if self._intake.waiting:
            self._fetch_ahead()
            self._run_waiting()
            self._land()
            if self._left <= 0:
                self.stop()
        elif not self._new or (self._plan.burst and self._is_empty()):
            self.stop()
        else:
            self._wait()

    def _fetch(self) -> None:
        """Settle what has happened and take the next batch, queue by queue in their order."""
        want = int(min(self._pace.size, self._left)) if self._new else 1
        for source, share in self._intake.turns(want):
            most = min(share, want)
            ops = source.ops(most, self._kinds, new=self._new)
            taken = self._took(source, self._link.trip(ops))
            if not taken and len(ops) == 1 and self._new:
                # The retries that were due have been taken by others.
                source.due_in = None
                taken = self._took(source, self._link.trip(source.ops(most, self._kinds)))
            want -= taken
            if want <= 0:
                return

    def _fetch_ahead(self) -> None:
        """Send for the next batch, of the queue whose turn it is, if this one is large."""
        waiting, size = len(self._intake.waiting), self._pace.size
        # A fetch can bring twice its size: retries and new jobs.
        if size >= AHEAD_FROM <= waiting and self._new and waiting + 2 * size <= self._left:
            for source, most in self._intake.turns(size)[:1]:  # none, when all are paused
                self._link.begin(source.ops(most, self._kinds))
                self._ahead.append(source)

    def _land(self) -> None:
        """Take in the batch that is on its way, if no one has."""
        with self._landing:
            if self._ahead:
                self._took(self._ahead.pop(), self._link.finish())

    def _took(self, source: Source, answers: Answers) -> int:
        taken, mend = self._intake.took(source, answers)
        if mend:
            self._link.trip(mend)
        return taken

    def _wait(self) -> None:
        """Wait for a job; the supervisor ends the wait when there is another reason to look."""
        if not self._intake.open:
            self._link.trip(())
            self._stop.wait(LOOK)
            return
        block = self._intake.block()
        if self._plan.burst:
            block = min(block, BURST_LOOK)
        self._board.says(WAITING)
        if self._stopping:  # asked to stop before we said that we wait
            return
        try:
            (answer,) = self._link.trip([self._intake.wait_op(block)])
        finally:
            self._board.says(BUSY)
        _, mend = self._intake.woke(answer)
        if mend:
            self._link.trip(mend)
            self._stop.wait(0.1)  # a group that is destroyed again and again must not make us spin

    def _run_waiting(self) -> None:  # noqa: PLR0912, PLR0915  calls would cost 10 %
        """Run what waits. This loop is what jobq's speed is made of: it binds what it calls."""
        waiting, clock, running = self._intake.waiting, self._clock.monotonic, self._board.runs
        read, call, context = self._attempts.read, self._call, contextvars.copy_context
        succeeded, outboxes = self._attempts.done, self._outbox.done
        inside = self._inside
        began = flushed = since = self._busy_since = clock()
        ran = 0
        self._relief.watch()
        try:
            while waiting and not self._stopping:
                try:
                    item = waiting.popleft()
                except IndexError:  # the other thread gave the last one back
                    break
                delivery = read(item)
                if delivery.__class__ is not Delivery:
                    self._outbox.add(delivery, item)  # type: ignore[arg-type]
                    continue
                running(item[5])
                try:
                    value = context().run(call, delivery)
                except BaseException as error:  # noqa: BLE001  whatever user code raises is a failure
                    now = clock()
                    delivery.span = since, now
                    self._outbox.add(self._failed(delivery, error), item)
                else:
                    now = clock()
                    delivery.span = since, now
                    if item[3] or delivery.inside is not inside:  # it has reported something
                        self._outbox.add(self._attempts.succeeded(delivery, value), item)
                    else:
                        outboxes[item[0]].append(succeeded(delivery, value))
                ran += 1
                # The next one is timed from here on: reading it is far below what is counted.
                since = self._busy_since = now
                if now - flushed > FLUSH and waiting:
                    flushed = now
                    self._land()
                    self._link.trip(())
                    since = self._busy_since = clock()
        finally:
            self._left -= ran
        self._rest()
        self._pace.ran(ran, clock() - began)

    def _failed(self, delivery: Delivery, error: BaseException) -> Op[bool]:
        cancelled = self._notes.asked(delivery.item)
        return self._attempts.failed(delivery, error, cancelled=cancelled)

    def _rest(self) -> None:
        """Say that no job runs."""
        self._board.runs(-1)
        self._relief.rest()
        self._busy_since = 0.0

    def _call(self, delivery: Delivery) -> object:
        current.set(delivery)
        delivery.inside = self._inside
        policy = delivery.policy
        if policy.timeout is None and policy.hard_timeout is None:
            definition = delivery.definition
            if definition.rebuild is None:
                return definition.function(*delivery.args, **delivery.kwargs)
            return self._attempts.call(delivery)
        return self._limits.call(self._attempts.call, delivery)

    def _is_empty(self) -> bool:
        return self._intake.is_empty(self._link.trip(self._intake.counts()))

    def relieve(self, link: Link) -> None:
        """While a job takes long: settle what finished before it, give back what waits.

        Called from the other thread, with a link of its own.
        """
        self._paused.look()
        if self._notes.wanted:
            self._end_cancelled()
        since = self._busy_since
        if not since:
            return
        took = self._clock.monotonic() - since
        if took > PATIENCE:
            self._land()
            self._give_back()
        if took > FLUSH and self._outbox:
            link.trip(())

    def _end_cancelled(self) -> None:
        """End the jobs that wait and whose cancel was asked for; look again for the one that runs.

        The signal may have come while it was being started.
        """
        waiting, notes = self._intake.waiting, self._notes
        for item in list(waiting):
            if notes.wants(item):
                delivery = self._attempts.read(item)
                try:
                    waiting.remove(item)
                except ValueError:  # it has just been started, or given back
                    continue
                notes.claim(item)
                if isinstance(delivery, Delivery):
                    self._outbox.add(self._attempts.cancelled(delivery), item)
                else:
                    self._outbox.add(delivery, item)
        notes.forget_old()
        if notes.wanted:
            told = threading.main_thread().ident
            assert told is not None
            signal.pthread_kill(told, signal.SIGUSR1)

    def _give_back(self, keep: float = 0) -> None:
        """Give back what waits, the last one first, but for so many."""
        waiting = self._intake.waiting
        while len(waiting) > keep:
            try:
                item = waiting.pop()
            except IndexError:
                return
            delivery = self._attempts.read(item)
            if isinstance(delivery, Delivery):
                self._outbox.add(self._attempts.give_back(delivery), item)
            else:
                self._outbox.add(delivery, item)

    def _leave(self) -> None:
        try:
            self._land()
        except StoreError as error:
            self._link.say_lost(error)
        self._give_back()
        late = self._clock.monotonic() + FAREWELL
        while self._outbox and not self._outbox.refused:
            try:
                self._link.reopen()
                self._link.trip(())
            except StoreError as error:
                self._link.say_lost(error)
                if self._clock.monotonic() > late:
                    break
                time.sleep(random.uniform(0.1, 0.2))  # noqa: S311  jitter
        if self._outbox:  # leases run out, and others run what we could not settle
            log.warning("left outcomes unsettled jobs=%d", len(self._outbox))

    def _make_link(self, connection: Connection, *, alone: bool) -> Link:
        return Link(
            connection,
            self._intake,
            self._outbox,
            self._board,
            consumer=self._plan.consumer,
            stop=self._stop,
            freshness=Freshness(self._clock, self._plan.lease),
            alone=alone,
        )


_CALL: Final = InlineExecutor._call.__code__  # noqa: SLF001  its own
