"""Middleware around attempts, and what a job sees of its headers."""

import asyncio
import pickle  # noqa: TID251  what users may do with current_job()
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from jobq import Dead, JobQ, JobState, Retry, current_job, default_app
from jobq.core.current import RunningJob
from jobq.core.hooks import Outgoing
from jobq.testing import Session

Forward = Callable[[], object]
AsyncForward = Callable[[], Awaitable[object]]

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def marking(app: JobQ, said: list[str], *words: str) -> None:
    def register(word: str) -> None:
        @app.around_run
        def mark(job: RunningJob, forward: Forward) -> object:
            said.append(f"{word} before {job.name} {job.attempt}")
            try:
                return forward()
            finally:
                said.append(f"{word} after")

        @app.around_run
        async def amark(job: RunningJob, forward: AsyncForward) -> object:
            said.append(f"{word} before {job.name} {job.attempt}")
            try:
                await asyncio.sleep(0)  # noqa: TID251  gives others a turn
                return await forward()
            finally:
                said.append(f"{word} after")

    for word in words:
        register(word)


async def test_it_is_around_jobs_of_its_kind(test: Session, app: JobQ) -> None:
    said: list[str] = []

    @app.job(name="early")
    def early(n: int) -> int:
        said.append(f"early {n}")
        return n

    marking(app, said, "one", "two")

    @app.job(name="late")
    async def late(n: int) -> int:
        said.append(f"late {n}")
        return n

    assert early(1) == 1  # a plain call is a plain call
    assert await late(2) == 2
    assert said == ["early 1", "late 2"]
    said.clear()
    early.delay(3)
    await late.adelay(4)
    assert [ran.value for ran in await test.arun_all()] == [3, 4]
    assert said == [
        *("one before early 1", "two before early 1", "early 3", "two after", "one after"),
        *("one before late 1", "two before late 1", "late 4", "two after", "one after"),
    ]


def test_what_it_raises_and_returns_is_what_the_job_does(test: Session, app: JobQ) -> None:
    @app.around_run
    def judge(job: RunningJob, forward: Forward) -> object:
        if job.headers.get("do") == "refuse":
            raise Dead("refused")
        try:
            return f"<{forward()}>"
        except KeyError as error:
            raise Retry(after=0) from error

    @app.job(name="work", retries=1)
    def work(n: int) -> int:
        if current_job().attempt == 1 and n == 2:
            raise KeyError(n)
        return n

    work.options(headers={"do": "refuse"}).delay(1)
    work.delay(2)
    refused, failed, again = test.run_all()
    assert (refused.outcome, type(refused.error)) == (JobState.DEAD, Dead)
    assert (failed.outcome, type(failed.error)) == (JobState.RETRYING, Retry)
    assert (again.outcome, again.value) == (JobState.SUCCEEDED, "<2>")


def test_context_variables_reach_the_job_and_end_with_it(test: Session, app: JobQ) -> None:
    @app.around_enqueue
    def send_tenant(call: Outgoing, forward: Callable[[Outgoing], object]) -> object:
        call.headers["tenant"] = tenant.get()
        return forward(call)

    @app.around_run
    def set_tenant(job: RunningJob, forward: Forward) -> object:
        tenant.set(job.headers.get("tenant", "unknown"))
        return forward()

    @app.job(name="ask")
    def ask(down: int) -> str:
        if down:
            ask.delay(down - 1)
        return tenant.get()

    token = tenant.set("acme")
    ask.delay(1)
    tenant.reset(token)
    assert [ran.value for ran in test.run_all()] == ["acme", "acme"]
    assert tenant.get() == "nobody"


def test_headers_stay_with_a_job(test: Session, app: JobQ) -> None:
    seen: list[dict[str, str]] = []

    @app.job(name="look", retries=1, backoff=0)
    def look() -> None:
        job = current_job()
        seen.append(dict(job.headers))
        copy = pickle.loads(pickle.dumps(job))  # noqa: S301
        assert (copy, copy.headers) == (job, job.headers)
        raise ValueError

    handle = look.options(headers={"a": "1"}).delay()
    look.delay()
    test.run_all()
    assert seen == [{"a": "1"}, {"a": "1"}, {}, {}]
    assert handle.status() == JobState.DEAD


def test_tracebacks_show_no_frames_of_ours(test: Session, app: JobQ) -> None:
    marking(app, [], "one")

    @app.job(name="fail", retries=0)
    def fail() -> None:
        raise ValueError("no")

    fail.delay()
    test.run_all()
    [letter] = test.dead_letters
    assert "return forward()" in letter.failure.traceback
    assert 'raise ValueError("no")' in letter.failure.traceback
    assert "jobq/core/hooks.py" not in letter.failure.traceback


def test_who_has_no_middleware_calls_the_function_itself(app: JobQ) -> None:
    def work() -> None: ...

    app.job(work, name="work")
    definition = app.registry.get("work")
    assert definition is not None
    assert definition.function is work

    @app.around_run
    async def around(job: RunningJob, forward: AsyncForward) -> object:
        return await forward()

    definition = app.registry.get("work")
    assert definition is not None
    assert definition.function is work  # not of its kind
    assert default_app.hooks is not app.hooks
