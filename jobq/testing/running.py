"""Running jobs in the process of a test: no worker, but all of its rules.

What reads, settles, retries and buries is what workers use; only who calls the job function, and
when, is of its own. One job is taken at a time, so that a job may run others in turn.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Final, cast

from jobq.client.app import JobQ
from jobq.core.clock import Clock, SystemClock
from jobq.core.current import running as current
from jobq.core.job import JobState
from jobq.core.lines import lines_of, queue_of
from jobq.errors import JobInterrupted, JobqError, JobTimedOut, StoreError
from jobq.runtime.board import Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import Limits
from jobq.runtime.inside import Inside
from jobq.runtime.item import Item
from jobq.runtime.outbox import counts_of
from jobq.runtime.reporter import Reporter
from jobq.runtime.signed import make_attempts
from jobq.store.connection import Connection
from jobq.store.ops import fetch, inspect, settle, upkeep
from jobq.store.ops.waiting import is_used
from jobq.testing.calls import Calls
from jobq.testing.rounds import Rounds
from jobq.testing.telling import Telling

#: How the process of a test is called among the workers.
CONSUMER: Final = "test"

#: Every kind of waiting retry: there is nobody else to take any.
_KINDS: Final = fetch.SYNC + fetch.ASYNC + fetch.ANY + fetch.SUSPECT + fetch.UNKNOWN


@dataclass(frozen=True, slots=True)
class Ran:
    """An attempt that ran.

    Attributes:
        job_id: of the job.
        name: of the job function.
        args: positional arguments, as the job function got them.
        kwargs: keyword arguments, the same.
        queue: where the job waited.
        attempt: which one it was, from 1.
        outcome: where the job is now: ``succeeded``, ``retrying`` (after a snooze too), ``dead``
            or ``cancelled``.
        value: what the job function returned.
        error: what it raised; None: nothing.
    """

    job_id: str
    name: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    queue: str
    attempt: int
    outcome: JobState
    value: object = None
    error: BaseException | None = None


class Runner:
    """Takes the jobs of an app and runs them here.

    Args:
        app: the app.
        clock: measures the limits of jobs.
    """

    def __init__(self, app: JobQ, clock: Clock = SystemClock()) -> None:
        self._app = app
        self._clock = clock
        self._calls = Calls(app)
        self._attempts = make_attempts(app, consumer=CONSUMER, now_ms=self.now_ms)
        self._telling = Telling(app, self._attempts)
        self._limits = Limits(Board(), clock, 0.0)
        self._rounds = Rounds(app)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reporter = Reporter(
            lambda: Connection(app.store.locate),
            app.codec,
            app.signer,
            consumer=CONSUMER,
            clock=clock,
        )
        self._inside = Inside(_is_mine, self._reporter)

    def now_ms(self) -> float:
        """Return Redis time."""
        return self._app.store.run(upkeep.time_ms())

    def close(self) -> None:
        """End the loop that async jobs ran on, and what took their reports."""
        self._reporter.stop()
        self._telling.end()
        if self._loop is not None:
            self._loop.run_until_complete(self._app.aclose())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._loop = None

    def look_around(self) -> None:
        """Do what supervisors do, see `Rounds.run`."""
        self._rounds.run()
        self._attempts.heed(self._rounds.stopped)
        self._telling.begin()

    @property
    def next_ms(self) -> float | None:
        """When something is due next, Redis time, as of the last look; None: nothing is."""
        return self._rounds.next_ms

    def take(self, queues: Sequence[str] | None) -> Delivery | None:
        """Take the next job; None: nothing that is due is left.

        Args:
            queues: of these queues, the first one first; None: of all.
        """
        while (item := self._fetch(queues)) is not None:
            delivery = self._attempts.read(item)
            if isinstance(delivery, Delivery):
                return delivery
            self._app.store.run(delivery)  # it cannot run
            self._telling.has_settled()
        return None

    def give_back(self, delivery: Delivery) -> None:
        """Give back a job that was not started."""
        self._app.store.run(self._attempts.give_back(delivery))

    def call(self, delivery: Delivery) -> object:
        """Run a job in this thread.

        Raises:
            BaseException: whatever it raises; `JobqError` where it cannot run here.
        """
        with self._timed(delivery) as context:
            return self._call(delivery, context)

    def _call(self, delivery: Delivery, context: Context) -> object:
        if not delivery.definition.is_async:
            return context.run(self._call_sync, delivery)
        if _runs_a_loop():
            self.give_back(delivery)
            raise LoopRuns(
                f"{delivery.definition.name} is an async job function, and an event loop runs in "
                "this thread: await arun_all(), or adelay() in inline mode"
            )
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._acall(delivery, context))

    async def acall(self, delivery: Delivery) -> object:
        """Run a job in this thread, an async one on the loop that runs. See `call`."""
        with self._timed(delivery) as context:
            if not delivery.definition.is_async:
                return context.run(self._call_sync, delivery)
            return await self._acall(delivery, context)

    def succeeded(self, delivery: Delivery, value: object) -> Ran:
        """Settle a job that has returned."""
        run, attempts = self._app.store.run, self._attempts
        if delivery.count or delivery.inside is not self._inside:
            kept = run(attempts.succeeded(delivery, value))
        else:
            batch = [attempts.done(delivery, value)]
            counts = counts_of(batch, self.now_ms() / 1000 - self._clock.monotonic())
            kept = not run(settle.settle(delivery.line, CONSUMER, batch, counts=counts))
        if not kept:
            raise JobqError(
                f"{delivery} has run here, and its outcome was refused: somebody has taken it "
                "over, or emptied Redis"
            )
        return self._ran(delivery, JobState.SUCCEEDED, value, None)

    def failed(self, delivery: Delivery, error: BaseException) -> Ran:
        """Settle a job that has raised."""
        self._app.store.run(self._attempts.failed(delivery, error))
        self._telling.has_settled()
        seen = self._app.store.run(inspect.look(delivery.queue, delivery.job_id.decode()))
        return self._ran(delivery, seen.state or JobState.CANCELLED, None, error)

    def _fetch(self, queues: Sequence[str] | None) -> Item | None:
        run, rounds = self._app.store.run, self._rounds
        for queue in rounds.queues if queues is None else queues:
            if queue in rounds.stopped.queues:
                continue
            for held in run(fetch.claim(queue, CONSUMER, 1, _KINDS)).held:
                return queue, held.entry, held.fields, held.count, held.history, 0
            for line in lines_of(queue):
                for entry, fields in self._read(line):
                    return line, entry, fields, 0, None, 0
        return None

    def _read(self, line: str) -> list[fetch.RawEntry]:
        read = fetch.read(line, CONSUMER, 1, 0.0)
        taken, used = self._app.store.exchange([read, is_used(line)])
        if isinstance(taken, StoreError):
            if taken.code != "NOGROUP":
                raise taken
            if not used:
                return []
            # A line gets its group when it is used for the first time.
            self._app.store.run(upkeep.regroup(queue_of(line)))
            return self._app.store.run(read)
        return cast("list[fetch.RawEntry]", taken)

    @contextmanager
    def _timed(self, delivery: Delivery) -> Iterator[Context]:
        delivery.inside = self._inside
        context = copy_context()
        context.run(current.set, delivery)
        began = self._clock.monotonic()
        try:
            yield context
        finally:
            delivery.span = began, self._clock.monotonic()

    def _call_sync(self, delivery: Delivery) -> object:
        if delivery.policy.timeout is None or not _is_main_thread():
            return self._attempts.call(delivery)
        with _kept_timer():
            return self._limits.call(self._attempts.call, delivery)

    async def _acall(self, delivery: Delivery, context: Context) -> object:
        coroutine = self._limited(delivery)
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        return await task

    async def _limited(self, delivery: Delivery) -> object:
        coroutine = cast("Awaitable[object]", self._attempts.call(delivery))
        timeout = delivery.policy.timeout
        try:
            async with asyncio.timeout(timeout) as limit:
                return await coroutine
        except TimeoutError as error:
            if timeout is not None and limit.expired():
                raise JobTimedOut(timeout) from error
            raise

    def _ran(
        self, delivery: Delivery, outcome: JobState, value: object, error: BaseException | None
    ) -> Ran:
        name = delivery.definition.name
        args, kwargs = self._calls.rebuilt(name, delivery.call)
        return Ran(
            delivery.job_id.decode(),
            name,
            args,
            kwargs,
            delivery.queue,
            delivery.attempt,
            outcome,
            value,
            error,
        )


class LoopRuns(JobqError):
    """An async job cannot be run by blocking code in a thread where an event loop runs."""


def ends_the_test(error: BaseException) -> bool:
    """Tell whether what a job raised is meant for the test: Ctrl-C, or pytest's own."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task() if _runs_a_loop() else None
        return task is not None and task.cancelling() > 0  # of the test, not of the job
    return not isinstance(error, Exception | JobInterrupted | SystemExit | GeneratorExit)


def _is_mine(_item: Item) -> bool:
    return True


def _runs_a_loop() -> bool:
    return asyncio._get_running_loop() is not None  # noqa: SLF001  public, but for its name


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _kept_timer() -> Iterator[None]:
    """Let a job use the process's timer, which may be that of the test's own limit."""
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    clock = SystemClock()
    since = clock.monotonic()
    try:
        yield
    finally:
        if left:
            rest = max(0.001, left - (clock.monotonic() - since))
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
