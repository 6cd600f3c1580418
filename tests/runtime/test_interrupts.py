"""Jobs that are ended while they run: by their timeout, by a cancel; wherever they run."""

import asyncio
import contextlib
import copy
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from redis import Redis

from jobq import JobHandle, JobQ, current_job
from jobq.core.clock import SystemClock
from jobq.core.current import RunningJob, moment
from jobq.errors import JobCancelled, JobFailed, JobqError, JobTimedOut
from jobq.runtime.board import LOST, Place
from jobq.runtime.executors import inline, loop, tasks, threads
from jobq.runtime.reporter import Reporter
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops.inspect import count
from tests.runtime.stage import ME, Stage, name_of
from tests.support.server import Server
from tests.support.wait import wait_until

#: Seconds after which a job gives up waiting for its end.
PATIENCE = 10.0


@dataclass
class Kind:
    """How jobs run: what `Stage.run` takes, and whether they are async."""

    name: str
    threads: int = 1
    loop: bool = False
    is_async: bool = False

    @property
    def interruption(self) -> str:
        """What a cancel raises."""
        return "CancelledError" if self.is_async else "JobInterrupted"


KINDS = [
    Kind("inline"),
    Kind("main", loop=True),
    Kind("threads", threads=3),
    Kind("async", loop=True, is_async=True),
]
ALL = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


@dataclass
class Seen:
    """What jobs have seen.

    Attributes:
        raised: what was raised in those that wait for their end.
        ran: what was given to the short ones.
    """

    raised: list[str] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)
    on: Callable[[BaseException], object] = repr

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.raised.append(type(error).__name__)
            self.on(error)
            raise
        self.raised.append("nothing")


class Line:
    """A stage with two jobs: one that waits for its end, and a short one."""

    def __init__(self, stage: Stage, redis: Redis, kind: Kind, **options: object) -> None:
        self.stage, self.redis, self.kind, self.seen = stage, redis, kind, Seen()
        seen = self.seen

        def endless() -> None:
            with seen.watching():
                until = time.monotonic() + PATIENCE
                while time.monotonic() < until:
                    time.sleep(0.002)  # noqa: TID251  a job that is slow on purpose

        async def aendless() -> None:
            with seen.watching():
                await asyncio.sleep(PATIENCE)  # noqa: TID251  the same

        def short(n: int) -> None:
            seen.ran.append(n)

        async def ashort(n: int) -> None:
            seen.ran.append(n)

        job = stage.app.job
        job(name="endless", **options)(aendless if kind.is_async else endless)  # type: ignore[call-overload]
        job(name="short")(ashort if kind.is_async else short)

    def endless(self, many: int) -> list[JobHandle[object]]:
        return [self.stage.app.send("endless") for _ in range(many)]

    def short(self, many: int) -> list[JobHandle[object]]:
        return [self.stage.app.send("short", n) for n in range(many)]

    def run(self, play: Callable[[], object] = lambda: None, **more: float) -> bool:
        return self.stage.run(
            play,
            threads=self.kind.threads,
            loop=self.kind.loop,
            **more,  # type: ignore[arg-type]
        )

    def place(self, job: JobHandle[object]) -> Place | None:
        """Where it stands on the board."""
        where = self.redis.hget(keys.index("default"), job.id)
        entry = where[1:].decode() if isinstance(where, bytes) else ""
        return next((one for one in self.stage.board.read() if one.entry == entry), None)

    def cancel(self, job: JobHandle[object]) -> None:
        place = wait_until(lambda: self.place(job), "the worker holds the job")
        self.stage.cancel(job.id, name_of(place))

    def cancel_started(self, job: JobHandle[object]) -> None:
        self.stage.wait_started()
        self.cancel(job)

    def left(self) -> list[str]:
        """The ids of what has not ended, and of what was not cleaned up."""
        every = (keys.index, keys.cancels, keys.history)
        return [str(one) for key in every for one in self.redis.hkeys(key("default"))]


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    with JobQ(server.url, retries=0) as app:
        yield Stage(app)


@ALL
def test_a_job_that_runs_is_cancelled(stage: Stage, redis: Redis, kind: Kind) -> None:
    line = Line(stage, redis, kind)
    jobs = line.endless(kind.threads)
    line.short(1)

    def play() -> None:
        stage.wait_started(kind.threads)
        for job in jobs:
            line.cancel(job)
            with pytest.raises(JobCancelled):
                job.result(timeout=5)

    line.run(play)
    assert line.seen.raised == [kind.interruption] * kind.threads
    assert line.seen.ran == [0], "the worker goes on"
    assert [job.status() for job in jobs] == ["cancelled"] * kind.threads
    assert line.left() == []


@ALL
def test_one_that_has_a_timeout_too(stage: Stage, redis: Redis, kind: Kind) -> None:
    line = Line(stage, redis, kind, timeout=60)
    jobs = line.endless(kind.threads)

    def play() -> None:
        stage.wait_started(kind.threads)
        for job in jobs:
            line.cancel(job)

    before = signal.getsignal(signal.SIGALRM)
    line.run(play)
    assert [job.status() for job in jobs] == ["cancelled"] * kind.threads
    assert signal.getsignal(signal.SIGALRM) is before
    assert stage.board.next_deadline == 0


@ALL
def test_another_failure_after_a_cancel_is_a_cancel(stage: Stage, redis: Redis, kind: Kind) -> None:
    line = Line(stage, redis, kind)

    def fail(_error: BaseException) -> None:
        raise ValueError("while cleaning up")

    line.seen.on = fail
    (job,) = line.endless(1)
    line.run(lambda: line.cancel_started(job))
    assert job.status() == "cancelled"


@ALL
def test_a_job_that_finishes_all_the_same_has_succeeded(
    stage: Stage, redis: Redis, kind: Kind
) -> None:
    line = Line(stage, redis, kind)

    def stubborn() -> str:
        with contextlib.suppress(BaseException), line.seen.watching():
            while True:
                time.sleep(0.002)  # noqa: TID251  a job that is slow on purpose
        return "done"

    async def astubborn() -> str:
        with contextlib.suppress(BaseException), line.seen.watching():
            await asyncio.sleep(PATIENCE)  # noqa: TID251  the same
        return "done"

    stage.app.job(name="stubborn")(astubborn if kind.is_async else stubborn)
    job = stage.app.send("stubborn")
    line.run(lambda: line.cancel_started(job))
    assert job.result(timeout=0) == "done"
    assert line.seen.raised == [kind.interruption]
    assert line.left() == []


@ALL
def test_a_job_that_waits_in_the_worker_is_cancelled(
    stage: Stage, redis: Redis, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (inline, loop, tasks, threads):  # it shall wait, and not be given back
        monkeypatch.setattr(module, "PATIENCE", 600.0)
    line = Line(stage, redis, kind)
    line.short(40)  # now the worker knows that jobs are short, and takes several
    blockers = line.endless(kind.threads)
    waiting = line.short(20)

    def play() -> None:
        stage.wait_started(kind.threads)
        held = wait_until(
            lambda: [job for job in waiting if line.place(job)], "some wait in the worker"
        )
        line.cancel(held[-1])
        with pytest.raises(JobCancelled):
            held[-1].result(timeout=5)
        assert blockers[0].status() == "running"
        for job in blockers:
            line.cancel(job)
        cancelled.append(held[-1])

    cancelled: list[JobHandle[object]] = []
    line.run(play, concurrency=1)
    assert len(line.seen.ran) == 59
    assert waiting.index(cancelled[0]) not in line.seen.ran[40:]
    assert line.left() == []


def test_only_the_one_of_two_with_the_same_entry(stage: Stage, redis: Redis) -> None:
    """Ids of entries are unique in their stream only."""
    line = Line(stage, redis, KINDS[0], queue="a")
    stage.app.job(name="other", queue="b")(lambda: None)
    (job,) = line.endless(1)

    def play() -> None:
        (place,) = stage.wait_started()
        other = Place(place.entry, 1 - place.queue, place.letter, started=False)
        stage.note(LOST, name_of(other))
        stage.note(b"c", name_of(other))
        wait_until(lambda: stage.board.leave_notes([(LOST, b"nothing")]), "the notes were read")
        assert line.seen.raised == []
        stage.cancel(job.id, name_of(place), queue="a")

    line.run(play)
    assert line.seen.raised == ["JobInterrupted"]


# ---------------------------------------------------------------------------- timeouts


@ALL
def test_a_timeout_ends_a_job(stage: Stage, redis: Redis, kind: Kind) -> None:
    line = Line(stage, redis, kind, timeout=0.05)
    jobs = line.endless(3)
    line.short(3)
    line.run()
    assert sorted(line.seen.ran) == [0, 1, 2]
    for job in jobs:
        with pytest.raises(JobFailed, match=r"JobTimedOut: the job ran longer than its timeout"):
            job.result(timeout=0)
    if not kind.is_async:  # it is cancelled, and what becomes of that is the error
        assert line.seen.raised == ["JobTimedOut"] * 3


def test_a_timeout_in_a_thread_is_the_same_to_users(stage: Stage, redis: Redis) -> None:
    line = Line(stage, redis, KINDS[2], timeout=0.05)
    found: list[BaseException] = []
    line.seen.on = found.append
    line.endless(3)
    line.run()
    assert [type(error).__qualname__ for error in found] == ["JobTimedOut"] * 3
    for error in found:
        assert isinstance(error, JobTimedOut)
        assert error.seconds == 0.05
        assert str(error) == str(JobTimedOut(0.05))


@ALL
def test_the_supervisor_knows_when_a_limited_job_must_end(
    stage: Stage, redis: Redis, kind: Kind
) -> None:
    line = Line(stage, redis, kind, timeout=60, hard_timeout=90)
    plain, (job,) = line.short(1), line.endless(1)
    seen: list[float] = []

    def play() -> None:
        plain[0].result(timeout=5)
        stage.wait_started()
        seen.append(wait_until(lambda: stage.board.next_deadline, "the deadline stands there"))
        line.cancel(job)

    before = time.monotonic()
    line.run(play)
    assert before + 90 < seen[0] < time.monotonic() + 90
    assert stage.board.next_deadline == 0


@ALL
def test_a_hard_timeout_alone_interrupts_nothing(stage: Stage, redis: Redis, kind: Kind) -> None:
    line = Line(stage, redis, kind, hard_timeout=0.01)
    (job,) = line.endless(1)

    def play() -> None:
        wait_until(lambda: 0 < stage.board.next_deadline < time.monotonic(), "it should be killed")
        assert line.seen.raised == []
        line.cancel(job)

    line.run(play)
    assert job.status() == "cancelled"


@pytest.mark.parametrize("many", [300, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=["inline", "threads"])
def test_a_timeout_just_when_the_job_ends(
    stage: Stage, redis: Redis, kind: Kind, many: int
) -> None:
    """Each job is settled once, and nothing is raised after its end, in whatever runs then."""
    ended: list[int] = []
    lasts = 0.002

    def short(n: int) -> int:
        until = time.monotonic() + lasts * 0.95
        while time.monotonic() < until:
            pass
        ended.append(n)
        return n

    job = stage.app.job(name="short", timeout=lasts, result_ttl=600)(short)
    jobs = job.map([(n,) for n in range(many)])
    stage.run(threads=kind.threads)
    outcomes = []
    for n, handle in enumerate(jobs):
        try:
            assert handle.result(timeout=0) == n
            outcomes.append("succeeded")
        except JobFailed as error:
            assert error.error == "JobTimedOut"  # noqa: PT017
            outcomes.append("dead")
    totals = stage.app.store.run(count("default")).totals
    assert totals["succeeded"] == outcomes.count("succeeded")
    assert totals["dead"] == outcomes.count("dead")
    assert len(ended) == len(set(ended)) >= outcomes.count("succeeded")
    assert redis.hlen(keys.index("default")) == outcomes.count("dead")


# ---------------------------------------------------------------------------- max_jobs


@pytest.mark.parametrize("many", [1, 7, 40])
@ALL
def test_a_worker_runs_as_many_jobs_as_it_may(
    stage: Stage, redis: Redis, kind: Kind, many: int
) -> None:
    line = Line(stage, redis, kind)
    line.short(60)
    assert line.run(max_jobs=many)
    assert len(line.seen.ran) == many
    assert redis.hlen(keys.index("default")) == 60 - many
    assert not stage.held(started=False)
    assert redis.xpending(keys.jobs("default"), "jobq")["pending"] == 0
    stage.board = type(stage.board)()
    assert not line.run(max_jobs=100)
    assert sorted(line.seen.ran) == list(range(60))


# ---------------------------------------------------------------------------- what jobs may ask


@ALL
def test_a_job_can_ask_whether_it_is_still_the_only_one(
    stage: Stage, redis: Redis, kind: Kind
) -> None:
    answers: list[bool] = []
    asks, asked = threading.Event(), threading.Event()

    def ask() -> None:
        answers.append(current_job().still_mine())
        asks.set()
        assert asked.wait(PATIENCE)
        answers.append(current_job().still_mine())

    async def aask() -> None:
        await asyncio.to_thread(ask)

    stage.app.job(name="ask")(aask if kind.is_async else ask)
    stage.app.send("ask")

    def play() -> None:
        (place,) = stage.wait_started()
        assert asks.wait(PATIENCE)
        stage.note(LOST, name_of(place))
        stage.note(LOST, b"nothing")
        wait_until(lambda: stage.board.leave_notes([(LOST, b"x")]), "the notes were read")
        asked.set()

    stage.run(play, threads=kind.threads, loop=kind.loop)
    assert answers == [True, False]


def test_a_lease_that_nobody_renews_runs_out(stage: Stage, redis: Redis) -> None:
    del redis
    stage.lease = 0.05
    answers: list[bool] = []

    def ask() -> None:
        mine = current_job().still_mine
        wait_until(lambda: not mine(), "the lease has run out")
        stage.board.has_renewed(time.monotonic() + 60)
        answers.append(mine())

    job = stage.app.job(name="ask")(ask).delay()
    stage.run()
    assert job.result(timeout=0) is None
    assert answers == [True]


def test_what_a_job_knows_of_itself_can_travel() -> None:
    job = RunningJob("id", "name", "queue", 2, moment(0))
    assert copy.copy(job) == job  # as pickle and other processes do it
    assert "_mine" not in repr(job)
    assert job.still_mine()


def test_async_jobs_do_not_share_context_variables(stage: Stage, redis: Redis) -> None:
    """Also not when one starts from the task of another, which has just ended."""
    del redis
    seen: ContextVar[int | None] = ContextVar("seen", default=None)

    async def look(n: int) -> int | None:
        before = seen.get()
        seen.set(n)
        await asyncio.sleep(0)  # noqa: TID251  a turn of the loop
        return before

    jobs = stage.app.job(name="look")(look).map([(n,) for n in range(50)])
    stage.run(loop=True, concurrency=1)
    assert {job.result(timeout=0) for job in jobs} == {None}


def _reporting(stage: Stage) -> Reporter:
    """A reporter whose first trip takes longer than what it must not be late for."""

    def connect() -> Connection:
        threading.Event().wait(0.1)
        return Connection(lambda: parse_url(stage.app.redis_url()))

    found = Reporter(connect, stage.app.codec, None, consumer=ME, clock=SystemClock())
    stage.courier = found
    return found


def test_a_cancel_that_comes_too_late_does_not_lose_what_was_reported(stage: Stage) -> None:
    reporter = _reporting(stage)

    @stage.app.job(name="work")
    async def work() -> None:
        await current_job().astream("last words")
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # it comes where the task waits next

    job = work.delay()
    stage.run(loop=True)
    reporter.stop()
    assert job.status() == "succeeded"
    assert [part.value for part in job.stream()] == ["last words"]


@pytest.mark.parametrize("loop", [False, True])
def test_what_goes_on_when_its_job_has_ended_reports_nothing(stage: Stage, loop: bool) -> None:
    reporter = _reporting(stage)
    kept: list[RunningJob] = []

    def end() -> None:
        wait_until(lambda: job.status() == "succeeded", "the job has ended")
        with pytest.raises(JobqError, match="has ended"):
            kept[0].progress(0.5)

    async def awork() -> None:
        kept.append(current_job())

    def work() -> None:
        kept.append(current_job())

    stage.app.job(name="work")(awork if loop else work)
    job = stage.app.send("work")
    stage.run(end, loop=loop)
    reporter.stop()
