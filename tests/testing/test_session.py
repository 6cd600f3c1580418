"""Sessions: jobs run in place, with all the rules of a worker; what waits; whose Redis it is."""

import asyncio
import os
import signal
import threading
import time
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from jobq import Dead, JobQ, JobState, Retry, current_job, default_app, testing
from jobq.errors import (
    ArgumentError,
    ConfigError,
    JobFailed,
    JobqError,
    JobTimedOut,
    OptionError,
    ResultNotReady,
    StoreUnavailable,
)
from jobq.testing import Session
from jobq.testing.running import LoopRuns


@dataclass
class Mail:
    to: str
    tags: tuple[str, ...] = ()


# ------------------------------------------------------------------------------- running


def test_jobs_run_in_place_until_none_is_left(test: Session, app: JobQ) -> None:
    threads: list[int] = []

    @app.job(name="count")
    def count(down: int) -> int:
        threads.append(threading.get_ident())
        if down:
            count.delay(down - 1)
        return down

    handle = count.delay(2)
    with pytest.raises(ResultNotReady):
        handle.result(timeout=0)
    ran = test.run_all()
    assert [(one.name, one.args, one.outcome, one.value) for one in ran] == [
        (count.name, (2,), JobState.SUCCEEDED, 2),
        (count.name, (1,), JobState.SUCCEEDED, 1),
        (count.name, (0,), JobState.SUCCEEDED, 0),
    ]
    assert ran[0].job_id == handle.id
    assert handle.result(timeout=0) == 2
    assert set(threads) == {threading.get_ident()}
    assert test.run_all() == []


def test_failures_are_retried_and_buried_by_the_rules_of_workers(test: Session, app: JobQ) -> None:
    @app.job(name="fail", retries=2, backoff=["10m", "1h"])
    def fail(mail: Mail) -> None:
        raise ValueError(current_job().attempt, mail.to)

    handle = fail.delay(Mail("ada"))
    (first,) = test.run_all()
    assert (first.outcome, first.args) == (JobState.RETRYING, (Mail("ada"),))
    assert isinstance(first.error, ValueError)
    assert test.travel("9m", run=True) == []
    (second,) = test.travel("2m", run=True)
    assert (second.attempt, second.outcome) == (2, JobState.RETRYING)
    assert handle.status() is JobState.RETRYING
    assert [one.outcome for one in test.travel("2h", run=True)] == [JobState.DEAD]
    with pytest.raises(JobFailed, match="ada"):
        handle.result(timeout=0)
    (letter,) = test.dead_letters
    first_at, second_at, _ = (one.at for one in letter.history)
    assert timedelta(minutes=10) <= second_at - first_at < timedelta(minutes=11)


def test_what_a_job_raises_is_raised_where_that_is_wanted(test: Session, app: JobQ) -> None:
    @app.job(name="fail", retries=1, backoff="1h", no_retry_on=ZeroDivisionError)
    def fail(kind: str) -> None:
        raise {"dead": Dead("no"), "retry": Retry(60), "error": ZeroDivisionError()}[kind]

    fail.delay("retry")
    fail.delay("error")
    fail.delay("dead")
    with pytest.raises(ZeroDivisionError):
        test.run_all(raising=True)
    with pytest.raises(Dead):
        test.run_all(raising=True)
    assert len(test.dead_letters) == 2
    test.travel("2m")
    with pytest.raises(Retry):  # its attempts are used up
        test.run_all(raising=True)


def test_what_is_meant_for_the_test_ends_it(test: Session, app: JobQ) -> None:
    @app.job(name="interrupt")
    def interrupt() -> None:
        raise KeyboardInterrupt

    @app.job(name="stop")
    def stop() -> None:
        pytest.fail("from a job")

    interrupt.delay()
    with pytest.raises(KeyboardInterrupt):
        test.run_all()
    stop.delay()
    with pytest.raises(pytest.fail.Exception):
        test.run_all()


def test_a_job_that_adds_itself_for_ever_is_seen(test: Session, app: JobQ) -> None:
    @app.job(name="again")
    def again() -> None:
        again.delay()

    again.delay()
    with pytest.raises(JobqError, match=r"has run 50 jobs, and there are more, .* again\."):
        test.run_all(most=50)
    (call,) = test.enqueued()  # given back
    assert call.name == "again"


def test_only_some_queues_are_run_if_they_are_named(test: Session, app: JobQ) -> None:
    @app.job(name="work")
    def work() -> None: ...

    work.delay()
    for queue in ("mail", "bulk"):
        work.options(queue=queue).delay()
    assert [one.queue for one in test.run_all("bulk", "mail")] == ["bulk", "mail"]
    assert [one.queue for one in test.run_all()] == ["default"]


def test_limits_of_time_hold(test: Session, app: JobQ) -> None:
    @app.job(name="slow", timeout=0.02, retries=0)
    def slow() -> None:
        time.sleep(5)  # noqa: TID251  longer than its limit

    @app.job(name="aslow", timeout=0.02, retries=0)
    async def aslow() -> None:
        await asyncio.sleep(5)  # noqa: TID251  longer than its limit

    signal.setitimer(signal.ITIMER_REAL, 50)  # somebody else's, such as that of a test's limit
    slow.delay()
    aslow.delay()
    assert [type(one.error) for one in test.run_all()] == [JobTimedOut, JobTimedOut]
    assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] < 50
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_signed_calls_are_checked(test: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", "k:0123456789abcdef")
    app = test.use(JobQ())

    @app.job(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    handle = add.delay(1, b=2)
    test.assert_enqueued(add, 1, 2)
    test.run_all()
    assert handle.result(timeout=0) == 3


# ------------------------------------------------------------------------------- async


def test_async_jobs_run_on_one_loop_of_their_own(test: Session, app: JobQ) -> None:
    loops: set[asyncio.AbstractEventLoop] = set()

    @app.job(name="count")
    async def count(down: int) -> int:
        loops.add(asyncio.get_running_loop())
        if down:
            await count.adelay(down - 1)
        return down

    count.delay(1)
    assert len(test.run_all()) == 2
    count.delay(0)
    assert len(test.run_all()) == 1
    assert len(loops) == 1


async def test_a_running_loop_runs_them_itself(test: Session, app: JobQ) -> None:
    @app.job(name="work")
    async def work(fail: bool = False) -> str:
        assert asyncio.get_running_loop() is loop
        if fail:
            raise ValueError("no")
        return "done"

    @app.job(name="sync")
    def sync() -> int:
        return threading.get_ident()

    loop = asyncio.get_running_loop()
    handle = await work.adelay()
    with pytest.raises(LoopRuns, match="await arun_all"):
        test.run_all()
    await sync.adelay()
    ran = await test.arun_all()
    assert [one.value for one in ran] == ["done", threading.get_ident()]
    assert await handle.aresult(0) == "done"
    await work.adelay(fail=True)
    with pytest.raises(ValueError, match="no"):
        await test.arun_all(raising=True)
    assert [one.attempt for one in await test.atravel("1d")] == [2, 3, 4]


# ------------------------------------------------------------------------------- inline


def test_inline_jobs_have_run_when_delay_returns(test: Session, app: JobQ) -> None:
    @app.job(name="double", retries=1, backoff="5m")
    def double(number: int) -> int:
        if number < 0:
            raise ValueError(number)
        return 2 * number

    @app.job(name="outer")
    def outer(mail: Mail) -> list[object]:
        return [mail.tags, double.delay(21).result(timeout=0)]

    with test.inline():
        assert outer.delay(Mail("ada", ("a",))).result(timeout=0) == [("a",), 42]
        assert [one.result(timeout=0) for one in double.map([(1,), (2,)])] == [2, 4]
        failing = double.delay(-1)
        with pytest.raises(ResultNotReady):
            failing.result(timeout=0)
        test.travel("10m", run=True)
        with pytest.raises(JobFailed, match="-1"):
            failing.result(timeout=0)
    later = double.delay(1)
    assert later.status() is JobState.READY


async def test_inline_jobs_have_run_when_adelay_returns(test: Session, app: JobQ) -> None:
    @app.job(name="double")
    async def double(number: int) -> int:
        return 2 * number

    @app.job(name="outer")
    async def outer(number: int) -> int:
        return await (await double.adelay(number)).aresult(0)

    with test.inline():
        assert await (await outer.adelay(21)).aresult(0) == 42
        with pytest.raises(LoopRuns):
            double.delay(1)


# ------------------------------------------------------------------------------- what waits


def test_what_was_enqueued_is_compared_as_it_travels(test: Session, app: JobQ) -> None:
    @app.job(name="send", queue="mail")
    def send(mail: Mail, subject: str = "Hi", *, urgent: bool = False) -> None: ...

    @app.job(name="tell")
    def tell(words: list[str]) -> None: ...

    send.delay(Mail("ada", ("a", "b")), urgent=True)
    tell.delay(["x"])
    (call,) = test.assert_enqueued(send, Mail("ada", ("a", "b")), "Hi", urgent=True)
    assert (call.args, call.kwargs) == ((Mail("ada", ("a", "b")),), {"urgent": True})
    assert (call.queue, call.priority, call.due) == ("mail", "normal", None)
    test.assert_enqueued(send, mail=Mail("ada", ("a", "b")), subject="Hi", urgent=True)
    test.assert_enqueued(send)
    test.assert_enqueued(send.name, count=1)
    test.assert_enqueued(tell, ["x"])
    test.assert_not_enqueued(tell, ["y"])
    test.assert_not_enqueued(send, Mail("ada", ("a",)), urgent=True)
    assert [one.name for one in test.enqueued()] == [tell.name, send.name]
    assert len(test.enqueued(send)) == 1
    with pytest.raises(AssertionError) as failed:
        test.assert_enqueued(tell, ["y"])
    assert str(failed.value).splitlines() == [
        f"there is no {tell.name}(['y']). What is enqueued:",
        f"  {tell.name}(['x'])  in default",
        f"  {send.name}(Mail(to='ada', tags=('a', 'b')), urgent=True)  in mail",
    ]
    with pytest.raises(AssertionError, match="there are 1, not 2, of"):
        test.assert_enqueued(tell, count=2)
    with pytest.raises(AssertionError, match=r"there is .*tell\(\.\.\.\)"):
        test.assert_not_enqueued(tell)
    test.run_all()
    with pytest.raises(AssertionError, match="nothing"):
        test.assert_enqueued(tell)


def test_sensitive_arguments_are_in_no_message(test: Session, app: JobQ) -> None:
    @app.job(name="sign_up", sensitive="password")
    def sign_up(user: str, password: str) -> None: ...

    sign_up.delay("ada", "hunter22")
    with pytest.raises(AssertionError) as failed:
        test.assert_enqueued(sign_up, "ada", "hunter23")
    assert "hunter" not in str(failed.value)
    assert str(failed.value).count("[redacted]") == 2


def test_arguments_that_do_not_fit_are_told(test: Session, app: JobQ) -> None:
    @app.job(name="send")
    def send(to: str) -> None: ...

    with pytest.raises(ArgumentError, match=r"send: missing .* 'to'.* send\(to: str\)"):
        test.assert_enqueued(send, too="ada")


# ------------------------------------------------------------------------------- time


def test_time_goes_forward_only(test: Session) -> None:
    before = test.now()
    test.travel(timedelta(hours=1))
    assert timedelta(hours=1) <= test.now() - before < timedelta(hours=1, minutes=1)
    to = datetime(2100, 1, 1, tzinfo=UTC)
    test.travel_to(to)
    assert timedelta() <= test.now() - to < timedelta(minutes=1)
    test.clock.travel("1d")
    assert test.clock.now() >= to + timedelta(days=1)
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: test.travel(-1), "only goes forward"),
        (lambda: test.travel("soon"), "not a duration"),
        (lambda: test.travel_to(to), "only goes forward"),
        (lambda: test.travel_to(datetime(2200, 1, 1)), "aware"),  # noqa: DTZ001
        (lambda: test.clock.travel_to(to), "only goes forward"),
        (lambda: test.travel_to(cast("datetime", "2200-01-01")), "aware"),
    ]
    for call, words in wrong:
        with pytest.raises(OptionError, match=words):
            call()


# ------------------------------------------------------------------------------- whose Redis


def test_apps_reach_nothing_else_meanwhile(test: Session, tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/nobody"
    mine = test.use(JobQ(nowhere))
    mine.send("known.by.nobody")
    test.assert_enqueued("known.by.nobody")
    assert test.app is mine
    assert default_app.redis_url() == os.environ["JOBQ_REDIS_URL"] == test.url
    assert JobQ().redis_url() == test.url
    test.close()
    assert mine.redis_url() == nowhere
    with pytest.raises(StoreUnavailable):
        mine.store.exchange([])
    assert "JOBQ_TEST_CLOCK" not in os.environ


def test_with_several_apps_one_has_to_be_named() -> None:
    apps = [JobQ(), JobQ()]
    with testing.session() as test:
        for number, app in enumerate(apps):
            app.job(name=f"of.app{number}")(len)
        with pytest.raises(ConfigError, match=r"apps .*of\.app0, of\.app1.*use\(app\)"):
            test.run_all()
        with pytest.raises(ConfigError, match="use that one"), testing.session(apps[0]):
            pass
        assert test.use(apps[0]) is apps[0]
        assert test.run_all() == []


def test_it_works_without_pytest() -> None:
    app = JobQ()

    @app.job(name="greet")
    def greet(name: str) -> str:
        return f"hello {name}"

    class Case(unittest.TestCase):
        def setUp(self) -> None:
            self.test = self.enterContext(testing.session(app, inline=True))

        def test_one(self) -> None:
            assert greet.delay("ada").result(timeout=0) == "hello ada"

        def test_two(self) -> None:
            self.test.assert_not_enqueued(greet)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])
    testing.private_server.stop()
