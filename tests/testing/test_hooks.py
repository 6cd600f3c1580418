"""Hooks on failures in a session: called as in a worker, before `run_all` returns."""

import asyncio

from jobq import JobQ
from jobq.core.hooks import Failed
from jobq.testing import Session


def test_hooks_have_been_called_when_run_all_returns(app: JobQ, test: Session) -> None:
    heard: list[tuple[str, Failed]] = []

    @app.job(name="broken", retries=1)
    def broken(token: str) -> None:
        raise KeyError(token)

    @app.on_failure
    def on_failure(failed: Failed) -> None:
        heard.append(("failure", failed))

    @app.on_dead
    async def on_dead(failed: Failed) -> None:
        await asyncio.sleep(0)  # noqa: TID251  it must be awaited
        heard.append(("dead", failed))
        raise ValueError("this ends nothing")

    app.webhook("http://127.0.0.1:1/", secret="not posted to in tests")
    job = broken.options(headers={"tenant": "a"}).delay("ada")
    test.run_all()
    assert [(word, one.attempt, one.dead) for word, one in heard] == [("failure", 1, False)]
    test.travel("1h", run=True)
    assert [(word, one.attempt, one.dead) for word, one in heard[1:]] == [
        ("failure", 2, True),
        ("dead", 2, True),
    ]
    last = heard[-1][1]
    assert (last.id, last.queue, last.attempts) == (job.id, "default", 2)
    assert last.headers == {"tenant": "a"}
    assert isinstance(last.exception, KeyError)
    assert last.reason == "attempts used up"
    assert "broken" in last.traceback


async def test_they_are_called_beside_a_loop_too(app: JobQ, test: Session) -> None:
    heard: list[str] = []

    @app.job(name="broken", retries=0)
    async def broken() -> None:
        raise KeyError

    @app.on_dead
    async def on_dead(failed: Failed) -> None:
        heard.append(failed.error)

    await broken.adelay()
    await test.arun_all()
    assert heard == ["KeyError"]


def test_sensitive_arguments_are_taken_out(app: JobQ, test: Session) -> None:
    heard: list[Failed] = []
    app.on_dead(heard.append)

    @app.job(name="broken", retries=0, sensitive=["token"])
    def broken(token: str) -> None:
        raise KeyError(token)

    broken.delay("hush-hush-hush")
    test.run_all()
    assert "hush" not in repr((heard[0].message, heard[0].traceback))
