"""A test's own Redis: apps bound to it, a clock to move, and what was enqueued."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from jobq.client.app import JobQ, unnamed
from jobq.client.default import default_app
from jobq.client.letters import Letters
from jobq.client.rows import LetterRow
from jobq.client.where import VARIABLE
from jobq.core.duration import Duration, show
from jobq.core.job import JobState
from jobq.errors import ConfigError, JobqError, Retry, Snooze
from jobq.runtime.delivery import Delivery
from jobq.store.clock import obey_test_clock
from jobq.store.ops.waiting import flush
from jobq.store.wire import TEST_CLOCK
from jobq.testing.calls import Call, Calls, Named
from jobq.testing.clock import ManualClock, MovedClock, check_moment, milliseconds
from jobq.testing.running import LoopRuns, Ran, Runner, ends_the_test
from jobq.testing.watching import watched

T = TypeVar("T")

#: Jobs that one `Session.run_all` runs, and stops of one `Session.travel`, unless it is told else.
MOST: Final = 10_000


class Session:
    """A Redis for one test, empty at its start; `session` and the fixture `jobq` make it.

    The default app and all apps that were made without a URL use it, whatever JOBQ_REDIS_URL says,
    and so does every app that is given to `use`. What they used before is out of their reach.

    Attributes:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self._stack = ExitStack()
        self._bound: set[JobQ] = set()
        self._inline = 0
        self._used: JobQ | None = None
        self._runners: dict[JobQ, Runner] = {}

    # which app

    @property
    def app(self) -> JobQ:
        """The app whose jobs are run and looked at.

        The last one that was given to `use`; else the one app without a URL that has job
        functions.

        Raises:
            ConfigError: there are several of these.
        """
        if self._used is not None:
            return self._used
        having = _with_functions()
        if len(having) > 1:
            gc.collect()  # those of other tests may still be there
            having = _with_functions()
        if len(having) > 1:
            names = ", ".join(sorted({name for app in having for name in app.registry.names()}))
            raise ConfigError(
                f"{len(having)} apps have job functions ({names[:200]}): say which one with "
                "use(app), or with a fixture jobq_app of your own"
            )
        return self._bind(having[0])

    def use(self, app: JobQ) -> JobQ:
        """Bind an app to this Redis until the end of the test, whatever its URL; return it."""
        self._used = self._bind(app)
        return app

    # time

    @property
    def clock(self) -> ManualClock:
        """The clock alone, whose `ManualClock.travel` moves it at once, without stops."""
        return ManualClock(self.app)

    def now(self) -> datetime:
        """Return what time it is for jobq, in UTC."""
        return self.clock.now()

    def travel(self, by: Duration, *, run: bool = False, most: int = MOST) -> list[Ran]:
        """Let time pass: stop wherever something is due, and do there what supervisors do.

        So a schedule that ticks every 30 minutes adds 4 jobs in 2 hours. Jobs run only if asked
        for, or in the next `run_all`.

        Args:
            by: seconds, a timedelta or text such as ``"2h"``.
            run: at each stop, and at the end, run what is due.
            most: stops, and jobs that are run.

        Returns:
            What ran, in order.

        Raises:
            OptionError: it is no duration, or negative: time only goes forward.
            JobqError: there are more stops or jobs than that.
        """
        return self._travel(milliseconds(by), run=run, most=most)

    def travel_to(self, when: datetime, *, run: bool = False, most: int = MOST) -> list[Ran]:
        """Let time pass until a moment. See `travel`.

        Args:
            when: an aware datetime that is still to come.
        """
        now = self.clock.now_ms()
        return self._travel(check_moment(when, now) - now, run=run, most=most)

    async def atravel(self, by: Duration, *, most: int = MOST) -> list[Ran]:
        """Let time pass, and run what is due at each stop, on the running loop. See `travel`."""
        ran: list[Ran] = []
        for _ in self._stops(milliseconds(by), most):
            ran += await self._arun(self.app, most=most, looked=True)
        return ran

    # running

    def run_all(self, *queues: str, raising: bool = False, most: int = MOST) -> list[Ran]:
        """Run all jobs that are due, and those that they add, until none is left.

        In this process and thread, with everything that a worker does: codec, options, retries,
        results, dead letters. Retries that are due later wait for `travel`.

        Args:
            queues: only of these; all if none is named.
            raising: raise what the first job that fails has raised, once it is settled.
            most: how many to run at most: some jobs add themselves again for ever.

        Returns:
            What ran, in order.

        Raises:
            JobqError: there are more jobs than that.
        """
        return self._run(self.app, queues, raising=raising, most=most)

    async def arun_all(self, *queues: str, raising: bool = False, most: int = MOST) -> list[Ran]:
        """Run all jobs that are due, async ones on the running loop. See `run_all`."""
        return await self._arun(self.app, queues, raising=raising, most=most)

    @contextmanager
    def inline(self) -> Iterator[None]:
        """Run jobs as soon as they are enqueued: after each ``delay()`` comes a `run_all`.

        What is not due yet, such as a retry, waits for `travel`. What a job raises is no concern
        of who enqueued it: it is in the handle's ``result()``.
        """
        self._inline += 1
        try:
            yield
        finally:
            self._inline -= 1

    # looking

    def enqueued(self, function: Named | str | None = None) -> list[Call]:
        """List the calls that wait for their first start, delayed ones too.

        Args:
            function: only those of this job function, or of this name; None: all.
        """
        return Calls(self.app).of(function)

    def assert_enqueued(
        self,
        function: Named | str,
        /,
        *args: object,
        count: int | None = None,
        **kwargs: object,
    ) -> list[Call]:
        """Assert that a call waits; return those that match, to look at their queue and so on.

        Arguments are compared as they travel: a tuple is not a list, and a default counts as given.

        Args:
            function: the job function, or its name.
            args: its arguments; with none at all, any will do.
            count: how many such calls there must be; None: at least one.
            kwargs: its arguments by name, but for one named ``count``.

        Raises:
            AssertionError: it does not; tells what is enqueued.
        """
        found, there = Calls(self.app).matching(function, args, kwargs)
        if count is None and not found:
            raise AssertionError(f"there is no {there}")
        if count is not None and len(found) != count:
            raise AssertionError(f"there are {len(found)}, not {count}, of {there}")
        return found

    def assert_not_enqueued(
        self, function: Named | str, /, *args: object, **kwargs: object
    ) -> None:
        """Assert that no such call waits. See `assert_enqueued`.

        Raises:
            AssertionError: one does; tells what is enqueued.
        """
        found, there = Calls(self.app).matching(function, args, kwargs)
        if found:
            raise AssertionError(f"there is {there}")

    @property
    def dead_letters(self) -> list[LetterRow]:
        """The dead letters, the newest first."""
        return list(Letters(self.app.store, self.app.codec).rows())

    # how it is done

    def open(self) -> None:
        """Bind the apps and empty the server."""
        self._stack.callback(obey_test_clock, obey=obey_test_clock())
        self._stack.enter_context(_environment({VARIABLE: self.url, TEST_CLOCK: "1"}))
        for app in [default_app, *unnamed]:
            self._bind(app)
        default_app.store.run(flush())

    def close(self) -> None:
        """Give the apps back what they used before."""
        for runner in self._runners.values():
            runner.close()
        made = [app for app in unnamed if app not in self._bound]
        self._stack.close()
        for app in made:  # in this test, without a URL: they would remember its server
            app.close()

    def _bind(self, app: JobQ) -> JobQ:
        if app not in self._bound:
            producer = app._producer  # noqa: SLF001  only tests change where an app's Redis is
            self._stack.callback(producer.bind(self.url, MovedClock(app)))
            then, athen = partial(self._run_inline, app), partial(self._arun_inline, app)
            self._stack.enter_context(watched(producer, then, athen))
            self._bound.add(app)
        return app

    def _runner_of(self, app: JobQ) -> Runner:
        if app not in self._runners:
            self._runners[app] = Runner(app)
        return self._runners[app]

    def _run_inline(self, app: JobQ) -> None:
        if self._inline:
            self._run(app)

    async def _arun_inline(self, app: JobQ) -> None:
        if self._inline:
            await self._arun(app)

    def _run(
        self,
        app: JobQ,
        queues: Sequence[str] = (),
        *,
        raising: bool = False,
        most: int = MOST,
        looked: bool = False,
    ) -> list[Ran]:
        ran: list[Ran] = []
        runner = self._runner_of(app)
        for delivery in self._deliveries(runner, queues, ran, most, looked=looked):
            try:
                value = runner.call(delivery)
            except LoopRuns:
                raise
            except BaseException as error:
                ran.append(runner.failed(delivery, error))
                if _is_raised(ran[-1], raising=raising):
                    raise
            else:
                ran.append(runner.succeeded(delivery, value))
        return ran

    async def _arun(
        self,
        app: JobQ,
        queues: Sequence[str] = (),
        *,
        raising: bool = False,
        most: int = MOST,
        looked: bool = False,
    ) -> list[Ran]:
        ran: list[Ran] = []
        runner = self._runner_of(app)
        for delivery in self._deliveries(runner, queues, ran, most, looked=looked):
            try:
                value = await runner.acall(delivery)
            except BaseException as error:
                ran.append(runner.failed(delivery, error))
                if _is_raised(ran[-1], raising=raising):
                    raise
            else:
                ran.append(runner.succeeded(delivery, value))
        return ran

    def _deliveries(
        self, runner: Runner, queues: Sequence[str], ran: list[Ran], most: int, *, looked: bool
    ) -> Iterator[Delivery]:
        """Take job after job, as long as there are any; each must be settled before the next.

        Args:
            looked: the runner has just looked around.
        """
        while True:
            if not looked:
                runner.look_around()
            before, looked = len(ran), False
            while (delivery := runner.take(queues or None)) is not None:
                if len(ran) >= most:
                    runner.give_back(delivery)
                    raise JobqError(
                        f"run_all() has run {most:,} jobs, and there are more, such as one of "
                        f"{delivery.definition.name}. Does one add itself for ever? Else use most="
                    )
                yield delivery
            if len(ran) == before:
                return

    def _travel(self, by: int, *, run: bool, most: int) -> list[Ran]:
        ran: list[Ran] = []
        for _ in self._stops(by, most):
            if run:
                ran += self._run(self.app, most=most, looked=True)
        return ran

    def _stops(self, by: int, most: int) -> Iterator[None]:
        """Move the clock from one moment at which something is due to the next."""
        clock, runner = self.clock, self._runner_of(self.app)
        start = clock.now_ms()
        end = start + by
        for _ in range(most):
            runner.look_around()
            yield
            now, due = clock.now_ms(), runner.next_ms
            if due is None or due > end:
                clock.move(end - now)
                runner.look_around()
                yield
                return
            clock.move(max(1, int(due) - now))
        raise JobqError(
            f"travel() has stopped {most:,} times, and is {show((clock.now_ms() - start) / 1000)} "
            "on its way: something is due very often. Raise most=, or take clock.travel(), which "
            "moves the clock at once"
        )


def _with_functions() -> list[JobQ]:
    """Return the apps without a URL that have job functions; if there are none, the default app."""
    every = {default_app, *unnamed}
    return [app for app in every if app.registry.names()] or [default_app]


def _is_raised(ran: Ran, *, raising: bool) -> bool:
    """Tell whether the error of a job is raised in the test, which goes on without it else."""
    assert ran.error is not None
    if ends_the_test(ran.error):
        return True
    steers = isinstance(ran.error, Retry | Snooze) and ran.outcome is not JobState.DEAD
    return raising and not steers


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment, which programs that a test starts inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
