"""Results: who waits for one wakes when it is written, and is told what happened."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from jobq import JobHandle, JobQ, JobState
from jobq.core import result as stored
from jobq.core.outcome import Failure
from jobq.errors import (
    JobCancelled,
    JobFailed,
    JobNotFound,
    OptionError,
    ResultError,
    ResultNotReady,
    ResultUnreadable,
    StoreError,
    StoreUnavailable,
)
from jobq.store import keys
from jobq.store.ops import control, manage, upkeep
from jobq.store.ops.control import Command
from tests.client.hand import Hand
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import await_until, wait_until

#: Seconds in which a waiter must have woken: far below the second between two looks.
SOON = 0.5

TRACEBACK = "Traceback (most recent call last):\nKeyError: 'x'"
FAILURE = Failure("KeyError", "'x'", TRACEBACK)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Later:
    """A class that is named before it is defined."""


def work(number: int = 0) -> int:
    return number


def paint() -> list[Colour]:
    raise NotImplementedError


def locate() -> "Point | None":
    raise NotImplementedError


def puzzle() -> "NoSuchClass":  # type: ignore[name-defined]  # noqa: F821
    raise NotImplementedError


@pytest.fixture
def handle(app: JobQ) -> JobHandle[int]:
    """A handle of a job that waits."""
    return app.job(work, name="work").delay(1)


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, app: JobQ) -> Callable[..., Any]:
    """Call a method of a handle, or its async twin in a loop of its own."""
    if request.param == "sync":
        return lambda handle, method, *args: getattr(handle, method)(*args)

    async def in_loop(handle: JobHandle[Any], method: str, *args: Any) -> Any:
        async with app:
            return await getattr(handle, f"a{method}")(*args)

    return lambda *args: asyncio.run(in_loop(*args))


def watched(server: Server) -> bool:
    """Whether somebody waits for the change of a key."""
    (line,) = (one for one in server.cli("INFO", "stats").split() if b"tracking_total_keys" in one)
    return not line.endswith(b":0")


# ---------------------------------------------------------------------------- what is told


def test_the_value(ask: Callable[..., Any], handle: JobHandle[int], hand: Hand) -> None:
    hand.succeed(hand.take()[0], {"a": (1, 2)})
    assert ask(handle, "result") == {"a": (1, 2)}
    assert ask(handle, "result", 0) == {"a": (1, 2)}
    assert ask(handle, "status") is JobState.SUCCEEDED


def test_a_failure_with_its_remote_traceback(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand
) -> None:
    hand.bury(hand.take()[0], FAILURE, attempts=4)
    with pytest.raises(JobFailed, match=r"failed after 4 attempts: KeyError: 'x'") as failed:
        ask(handle, "result")
    assert failed.value.job_id == handle.id
    assert (failed.value.error, failed.value.message) == ("KeyError", "'x'")
    assert failed.value.traceback == TRACEBACK
    assert TRACEBACK in str(failed.value)
    assert ask(handle, "status") is JobState.DEAD


def test_a_failure_whose_result_has_expired_is_in_its_letter(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand
) -> None:
    hand.bury(hand.take()[0], FAILURE, attempts=4, ttl=0)
    with pytest.raises(JobFailed, match=r"failed after 4 attempts: KeyError: 'x'") as failed:
        ask(handle, "result")
    assert failed.value.traceback == TRACEBACK


def test_a_dead_letter_that_cannot_be_read(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand, server: Server
) -> None:
    hand.bury(hand.take()[0], FAILURE, ttl=0)
    server.cli("DEL", "jobq:{default}:dead")
    with pytest.raises(ResultUnreadable, match="is dead; its dead letter: not a dead letter"):
        ask(handle, "result")


def test_cancelled(ask: Callable[..., Any], handle: JobHandle[int], hand: Hand) -> None:
    hand.store.run(upkeep.regroup("default"))  # a worker has been there
    assert ask(handle, "cancel") is True
    assert ask(handle, "cancel") is False
    assert ask(handle, "status") is JobState.CANCELLED
    with pytest.raises(JobCancelled, match=handle.id):
        ask(handle, "result")


def test_a_job_that_nobody_ever_looked_at_can_be_cancelled(
    ask: Callable[..., Any], handle: JobHandle[int]
) -> None:
    assert ask(handle, "cancel") is True


def test_what_has_ended_cannot_be_cancelled(ask: Callable[..., Any], app: JobQ, hand: Hand) -> None:
    dead, done = app.job(work, name="work").map([(1,), (2,)])
    first, second = hand.take(count=2)
    hand.bury(first, FAILURE)
    hand.succeed(second, 2)
    assert [ask(handle, "cancel") for handle in (dead, done)] == [False] * 2
    assert ask(done, "result") == 2
    assert hand.store.run(control.read("0-0")) == []


def test_a_job_that_runs_is_interrupted(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand
) -> None:
    (taken,) = hand.take()
    assert ask(handle, "cancel") is True
    assert ask(handle, "cancel") is True
    assert ask(handle, "status") is JobState.RUNNING
    told = [command for _, command in hand.store.run(control.read("0-0"))]
    assert told == [Command("cancel", handle.id, "default", "j" + taken.entry.decode())] * 2
    hand.cancelled(taken)
    assert ask(handle, "status") is JobState.CANCELLED
    with pytest.raises(JobCancelled, match=handle.id):
        ask(handle, "result")
    assert ask(handle, "cancel") is False


def test_a_job_that_was_to_be_interrupted_and_succeeded(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand
) -> None:
    (taken,) = hand.take()
    assert ask(handle, "cancel") is True
    hand.succeed(taken, 5)
    assert ask(handle, "result") == 5


def test_a_cancel_that_could_not_be_told(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand, server: Server
) -> None:
    (taken,) = hand.take()
    server.cli("SET", keys.CONTROL, "a string")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        ask(handle, "cancel")
    server.cli("DEL", keys.CONTROL)
    assert ask(handle, "cancel") is True
    hand.retry(taken)
    assert ask(handle, "status") is JobState.CANCELLED


def test_a_waiting_retry(ask: Callable[..., Any], handle: JobHandle[int], hand: Hand) -> None:
    hand.retry(hand.take()[0])
    assert ask(handle, "status") is JobState.RETRYING
    with pytest.raises(ResultNotReady):
        ask(handle, "result", 0)
    assert ask(handle, "cancel") is True


@pytest.mark.parametrize("timeout", [0.02, "20ms", timedelta(milliseconds=20), 0])
def test_not_in_time(ask: Callable[..., Any], handle: JobHandle[int], timeout: Any) -> None:
    with pytest.raises(ResultNotReady, match="has not finished within") as late:
        ask(handle, "result", timeout)
    assert isinstance(late.value, TimeoutError)
    assert ask(handle, "status") is JobState.READY


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), True])
def test_a_timeout_that_is_none(
    ask: Callable[..., Any], handle: JobHandle[int], timeout: Any
) -> None:
    with pytest.raises(OptionError, match="timeout is"):
        ask(handle, "result", timeout)


def test_a_job_that_never_was(ask: Callable[..., Any], app: JobQ) -> None:
    handle = app.handle("nobody", "default")
    for method in ("result", "status"):
        with pytest.raises(JobNotFound, match="no job 'nobody'"):
            ask(handle, method)
    assert ask(handle, "cancel") is False


def test_a_result_that_could_not_be_stored(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand
) -> None:
    hand.finish(hand.take()[0], stored.unreadable("the result has type socket"))
    with pytest.raises(ResultUnreadable, match="succeeded, but the result has type socket"):
        ask(handle, "result")


@pytest.mark.parametrize("blob", [b"", b"garbage", stored.SUCCEEDED_HEAD + b"\xc1"])
def test_a_result_that_is_garbage(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand, blob: bytes
) -> None:
    hand.finish(hand.take()[0], blob)
    with pytest.raises(ResultUnreadable, match="cannot be read"):
        ask(handle, "result")


@pytest.mark.parametrize(
    ("function", "sent", "expected"),
    [
        (paint, ["red"], [Colour.RED]),
        (locate, {"x": 1}, Point(1)),
        (locate, None, None),
        (puzzle, {"x": 1}, {"x": 1}),
        (work, "not an int", "not an int"),
    ],
)
def test_the_value_is_what_the_annotation_says(
    app: JobQ, hand: Hand, function: Any, sent: object, expected: object
) -> None:
    handle = app.job(function, name="typed").delay()
    hand.succeed(hand.take()[0], sent)
    assert handle.result() == expected
    assert app.handle(handle.id).result() == sent


def test_a_value_that_is_not_what_the_annotation_says(app: JobQ, hand: Hand) -> None:
    handle = app.job(paint, name="typed").delay()
    hand.succeed(hand.take()[0], ["no colour"])
    with pytest.raises(ResultUnreadable, match=r"result of paint.*'no colour'.*Colour.*handle\("):
        handle.result()


def test_handles_of_one_job_are_equal(handle: JobHandle[int], app: JobQ) -> None:
    same = app.handle(handle.id, "default")
    assert handle == same
    assert len({handle, same, app.handle(handle.id, "mail")}) == 2
    assert handle != handle.id
    assert repr(handle) == f"<JobHandle {handle.id} in default>"


# ---------------------------------------------------------------------------- waiting


def settle_soon(server: Server, act: Callable[[], None]) -> "Future[float]":
    """Act as soon as somebody waits; the future has the time of the act."""
    done: Future[float] = Future()

    def go() -> None:
        try:
            wait_until(lambda: watched(server), "somebody waits for the result")
            act()
            done.set_result(time.monotonic())
        except BaseException as error:  # noqa: BLE001  told to the test
            done.set_exception(error)

    threading.Thread(target=go).start()
    return done


@pytest.mark.parametrize("kind", ["result", "dead", "cancelled"])
def test_who_waits_wakes_when_the_job_ends(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand, server: Server, kind: str
) -> None:
    def act() -> None:
        if kind == "cancelled":
            assert hand.store.run(manage.cancel("default", handle.id)) == manage.CANCELLED_IT
        elif kind == "dead":
            hand.bury(hand.take()[0], FAILURE)
        else:
            hand.succeed(hand.take()[0], 7)

    acted = settle_soon(server, act)
    expected = {"dead": JobFailed, "cancelled": JobCancelled}.get(kind)
    try:
        assert ask(handle, "result", 20) == 7
        assert expected is None
    except ResultError as error:
        assert type(error) is expected  # noqa: PT017  not raised for each kind
    late = time.monotonic() - acted.result(timeout=10)
    assert late < SOON


def test_waiting_polls_nothing(far: JobQ, proxy: Proxy, hand: Hand, server: Server) -> None:
    handle = far.job(work, name="work").delay()
    (taken,) = hand.take()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result, 20)
        wait_until(lambda: watched(server), "somebody waits for the result")
        wait_until(lambda: looks(proxy) == 3, "it looked twice more, a second apart")
        hand.succeed(taken, 5)
        assert waiting.result(timeout=10) == 5
    gets = sum(command[0] == b"GET" for command in proxy.commands)
    assert gets <= 5
    assert looks(proxy) <= 3


def looks(proxy: Proxy) -> int:
    """Count what it asked about the job as a whole: scripts, less the enqueue."""
    return sum(command[0] == b"EVALSHA" and int(command[2]) > 6 for command in proxy.commands)


def test_a_job_that_keeps_no_result_ends_the_wait(
    ask: Callable[..., Any], handle: JobHandle[int], hand: Hand, server: Server
) -> None:
    (taken,) = hand.take()
    settle_soon(server, lambda: hand.succeed(taken, 7, ttl=0))
    with pytest.raises(ResultUnreadable, match="left no result: its result_ttl is 0"):
        ask(handle, "result", 20)


def test_a_cut_while_waiting_is_survived(
    far: JobQ, proxy: Proxy, hand: Hand, server: Server
) -> None:
    handle = far.job(work, name="work").delay()
    (taken,) = hand.take()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result, 20)
        wait_until(lambda: watched(server), "somebody waits for the result")
        proxy.cut()
        wait_until(lambda: proxy.connections, "it is connected again")
        hand.succeed(taken, 5)
        assert waiting.result(timeout=10) == 5


async def test_a_cut_while_awaiting_is_survived(
    far: JobQ, proxy: Proxy, hand: Hand, server: Server
) -> None:
    async with far:
        handle = await far.job(work, name="work").adelay()
        (taken,) = hand.take()
        waiting = asyncio.ensure_future(handle.aresult(20))
        await await_until(lambda: watched(server), "somebody waits for the result")
        proxy.cut()
        hand.succeed(taken, 5)
        assert await waiting == 5


def test_redis_that_is_gone_for_good_is_told(far: JobQ, proxy: Proxy, server: Server) -> None:
    handle = far.job(work, name="work").delay()
    far.store.patience = 0.1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(handle.result)
        wait_until(lambda: watched(server), "somebody waits for the result")
        proxy.refuse()
        with pytest.raises(StoreUnavailable):
            waiting.result(timeout=20)


def test_many_threads_wait_for_the_same_and_for_others(app: JobQ, hand: Hand) -> None:
    handles = app.job(work, name="work").map([(number,) for number in range(5)])
    taken = hand.take(count=5)
    with ThreadPoolExecutor(15) as pool:
        waiting = [pool.submit(handle.result, 20) for handle in handles * 3]
        for number, one in enumerate(taken):
            hand.succeed(one, number)
        assert [one.result(timeout=10) for one in waiting] == list(range(5)) * 3


async def test_many_tasks_wait_for_the_same_and_for_others(app: JobQ, hand: Hand) -> None:
    async with app:
        handles = await app.job(work, name="work").amap([(number,) for number in range(100)])
        taken = hand.take(count=100)
        waiting = [asyncio.ensure_future(handle.aresult(20)) for handle in handles * 3]
        for number, one in enumerate(taken):
            hand.succeed(one, number)
            await asyncio.sleep(0)  # noqa: TID251  lets them run in between
        assert await asyncio.gather(*waiting) == list(range(100)) * 3


async def test_a_cancelled_wait_leaves_nothing_behind(
    app: JobQ, hand: Hand, server: Server
) -> None:
    async with app:
        handle = await app.job(work, name="work").adelay()
        waiting = asyncio.ensure_future(handle.aresult())
        await await_until(lambda: watched(server), "somebody waits for the result")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        hand.succeed(hand.take()[0], 3)
        assert await handle.aresult(5) == 3


# ---------------------------------------------------------------------------- twins


@pytest.mark.parametrize("method", ["status", "result", "cancel"])
def test_twins_take_the_same(method: str) -> None:
    sync, twin = getattr(JobHandle, method), getattr(JobHandle, f"a{method}")
    assert inspect.signature(sync) == inspect.signature(twin)
    assert inspect.iscoroutinefunction(twin)
    assert isinstance(twin, Callable | Awaitable)  # type: ignore[arg-type]
