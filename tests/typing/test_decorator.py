"""What type checkers make of the public API; mypy and pyright read this, and pytest imports it."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, assert_type

from jobq import AsyncJobFunction, JobFunction, JobHandle, JobQ, JobState, job
from jobq.client.function import JobCall
from jobq.core.ports import Application

app = JobQ()


@job
def bare(to: str, subject: str = "", *, urgent: bool = False) -> int:
    return len(to + subject) + urgent


@job(queue="mail", retries=5, timeout="30s", retry_on=(OSError,), backoff=[1, "5s"])
def with_options(to: str) -> bytes:
    return to.encode()


@app.job
async def of_app(number: int) -> list[int]:
    return [number]


@app.job(name="typed.named", result_ttl=0, no_retry_on=KeyError)
async def of_app_with_options(number: int) -> None:
    assert number


def plain(number: int) -> str:
    return str(number)


async def plain_async(number: int) -> str:
    return str(number)


called = app.job(plain, queue="mail")
called_async = app.job(plain_async, name="typed.called")


class Service:
    @staticmethod
    @app.job
    def static(number: int) -> float:
        return number / 2


def ports(application: Application) -> Application:
    return application


ports(app)

if TYPE_CHECKING:
    assert_type(bare("a", subject="b"), int)
    assert_type(bare.delay("a", "b", urgent=True), JobHandle[int])
    assert_type(bare.delay("a").result(timeout="5s"), int)
    assert_type(bare.delay("a").status(), JobState)
    assert_type(bare.delay("a").cancel(), bool)
    assert_type(bare.map([("a",), ("b", "c")]), list[JobHandle[int]])
    assert_type(bare.map({"to": name} for name in "ab"), list[JobHandle[int]])
    assert_type(with_options.delay("a"), JobHandle[bytes])
    assert_type(with_options.options(queue="bulk", job_id="x").delay("a"), JobHandle[bytes])
    assert_type(of_app.delay(1), JobHandle[list[int]])
    assert_type(of_app_with_options.delay(1), JobHandle[None])
    assert_type(called.delay(1), JobHandle[str])
    assert_type(called_async.delay(1), JobHandle[str])
    assert_type(Service.static(1), float)
    assert_type(Service.static.delay(1), JobHandle[float])
    assert_type(app.send("mail.send", 1, to="a"), JobHandle[object])
    assert_type(app.options(queue="bulk").send("mail.send"), JobHandle[object])
    assert_type(app.handle("x"), JobHandle[object])

    bare.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bare.delay("a", sub="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bare.options(que="mail")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bare.map(["a"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    with_options.options(retries="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    job(retrys=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    JobQ(name="x", job_id="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaited() -> None:
    """Check the twins; never run."""
    coroutine = of_app(1)
    same = assert_type(coroutine, Coroutine[object, object, list[int]])
    assert_type(await same, list[int])
    assert_type(await of_app.adelay(1), JobHandle[list[int]])
    assert_type(await (await of_app.adelay(1)).aresult(), list[int])
    assert_type(await bare.options(retries=1).adelay("a"), JobHandle[int])
    assert_type(await of_app.amap([(1,)]), list[JobHandle[list[int]]])
    assert_type(await (await app.asend("x")).astatus(), JobState)
    assert_type(await app.ahandle("x"), JobHandle[object])


def test_the_objects_are_what_the_types_say() -> None:
    assert type(bare) is JobFunction
    assert type(of_app) is AsyncJobFunction
    assert type(called_async) is AsyncJobFunction
    assert type(bare.options(queue="x")) is JobCall
    assert bare("ab", urgent=True) == 3
    assert Service().static(3) == 1.5
