"""Middleware as type checkers see it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, assert_type

from jobq import JobQ
from jobq.core.current import RunningJob
from jobq.core.hooks import AsyncForward, Failed, Forward, Outgoing, Sent

app = JobQ()


@app.around_enqueue
def send(call: Outgoing, forward: Forward) -> Sent:
    call.headers["a"] = "1"
    return forward(call)


@app.around_enqueue
async def asend(call: Outgoing, forward: AsyncForward) -> Sent:
    return await forward(call)


@app.around_enqueue
def loosely(call: Outgoing, forward: Callable[[Outgoing], object]) -> object:
    return forward(call)


@app.around_run
def run(job: RunningJob, forward: Callable[[], object]) -> object:
    return forward() if job.headers.get("a") else None


@app.around_run
async def arun(job: RunningJob, forward: Callable[[], Awaitable[object]]) -> object:
    return await forward()


@app.on_dead
def told(failed: Failed) -> None:
    assert failed.dead


@app.on_failure
async def atold(failed: Failed) -> None:
    assert failed.error


if TYPE_CHECKING:
    assert_type(send(Outgoing("x", (), {}, "mail", {}), lambda call: app.send(call.name)), Sent)

    @app.around_enqueue  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    def wrong(call: int, forward: Forward) -> Sent: ...
