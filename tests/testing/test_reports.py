"""What jobs report, in the process of a test."""

import asyncio
import logging
from collections.abc import Callable

import pytest

import jobq
from jobq import JobQ, Retry, current_job
from jobq.client.letters import Letters
from jobq.core.current import RunningJob
from jobq.core.reports import CHECKPOINT_BYTES, CHUNK_BYTES
from jobq.errors import JobNotFound, JobqError, NotEncodable, ReportTooLarge, ResultUnreadable
from jobq.store import keys
from jobq.store.wire import Op, nothing
from jobq.testing.session import Session


def run_one(test: Session, app: JobQ, function: Callable[[], object]) -> jobq.JobHandle[object]:
    """Run a function as a job of the app; what it raises is raised."""
    handle = app.job(function, name="one", retries=0).delay()
    test.run_all(raising=True)
    return handle


def test_all_of_it_is_there_outside(test: Session, app: JobQ) -> None:
    seen: list[object] = []

    @app.job(name="work", retries=1, backoff=1)
    def work() -> str:
        job = current_job()
        seen.append(job.checkpointed)
        job.progress(0.4, "resizing")
        job.log("first")
        job.log("second", level="WARNING")
        for letter in "ab":
            job.stream({"letter": letter, "attempt": job.attempt})
        job.checkpoint(("cursor", job.attempt))
        seen.append(job.checkpointed)
        if job.attempt == 1:
            raise Retry
        return "done"

    handle = work.delay()
    assert handle.progress() is None
    assert list(handle.logs()) == []
    test.run_all()
    progress = handle.progress()
    assert progress is not None
    assert (progress.fraction, progress.note, progress.attempt) == (0.4, "resizing", 1)
    test.travel("5s", run=True)
    assert seen == [None, ("cursor", 1), ("cursor", 1), ("cursor", 2)]
    assert handle.result() == "done"
    lines = list(handle.logs(follow=True))
    assert [(one.level, one.text, one.attempt) for one in lines] == [
        ("INFO", "first", 1),
        ("WARNING", "second", 1),
        ("INFO", "first", 2),
        ("WARNING", "second", 2),
    ]
    parts = list(handle.stream())
    assert [(one.value, one.number, one.missed) for one in parts] == [
        ({"letter": "a", "attempt": 1}, 1, 0),
        ({"letter": "b", "attempt": 1}, 2, 0),
        ({"letter": "a", "attempt": 2}, 1, 0),
        ({"letter": "b", "attempt": 2}, 2, 0),
    ]
    assert list(handle.stream(after=parts[1].id)) == parts[2:]
    assert list(handle.stream(after=parts[-1].id)) == []


async def test_the_same_with_await(test: Session, app: JobQ) -> None:
    @app.job(name="work")
    async def work() -> object:
        job = current_job()
        await asyncio.gather(*(job.astream(n) for n in range(3)))
        await job.acheckpoint("here")
        job.log("a line")
        return await job.acheckpointed()

    handle = await work.adelay()
    await test.arun_all()
    assert await handle.aresult() == "here"
    assert [part.value async for part in handle.astream()] == [0, 1, 2]
    assert [line.text async for line in handle.alogs()] == ["a line"]
    assert [line.text async for line in handle.alogs(follow=True)] == ["a line"]
    assert await handle.aprogress() is None


def test_a_dead_letter_keeps_its_checkpoint_and_goes_on_there(test: Session, app: JobQ) -> None:
    found: list[object] = []

    @app.job(name="work", retries=0)
    def work() -> None:
        job = current_job()
        found.append(job.checkpointed)
        job.checkpoint(len(found))
        if len(found) < 2:
            raise ValueError

    handle = work.delay()
    test.run_all()
    assert Letters(app.store, app.codec).retry([handle.id], None).done == 1
    test.run_all()
    assert found == [None, 1]
    assert handle.result() is None


def test_what_is_too_large_or_cannot_travel_is_refused(test: Session, app: JobQ) -> None:
    def work() -> None:
        job = current_job()
        with pytest.raises(ReportTooLarge, match=r"the chunk has .* may have 262,144"):
            job.stream(bytes(CHUNK_BYTES))
        with pytest.raises(ReportTooLarge, match="the checkpoint has more than 512 KiB"):
            job.checkpoint(bytes(CHECKPOINT_BYTES))
        with pytest.raises(NotEncodable, match="the chunk"):
            job.stream(object())
        with pytest.raises(TypeError, match="a number from 0 to 1"):
            job.progress("much")  # type: ignore[arg-type]
        job.progress(9, "x" * 1000)
        job.log("y" * 1_000_000)

    handle = run_one(test, app, work)
    progress = handle.progress()
    assert progress is not None
    assert (progress.fraction, len(progress.note)) == (1.0, 200)
    assert [len(line.text) for line in handle.logs()] == [2000]
    assert list(handle.stream()) == []


def test_a_handler_of_logging_keeps_lines_with_the_job(test: Session, app: JobQ) -> None:
    log = logging.getLogger("tests.of.a.job")
    handler = jobq.JobLogHandler()
    log.addHandler(handler)
    try:
        log.warning("outside of any job")

        def work() -> None:
            log.warning("in a job: %s", 7)

        handle = run_one(test, app, work)
        assert [(one.level, one.text) for one in handle.logs()] == [("WARNING", "in a job: 7")]
    finally:
        log.removeHandler(handler)


def test_sensitive_arguments_are_not_in_lines(test: Session, app: JobQ) -> None:
    @app.job(name="login", sensitive=["password"])
    def login(password: str) -> None:
        current_job().log(f"tried {password}")
        current_job().progress(0.5, f"with {password}")

    handle = login.delay("correct staple battery")
    test.run_all(raising=True)
    progress = handle.progress()
    assert progress is not None
    said = [progress.note, *(line.text for line in handle.logs())]
    assert len(said) == 2
    assert not [text for text in said if "battery" in text]


def test_nothing_can_be_reported_after_the_end_or_elsewhere(test: Session, app: JobQ) -> None:
    kept: list[RunningJob] = []

    def work() -> None:
        kept.append(current_job())
        kept[0].log("in time")

    handle = run_one(test, app, work)
    with pytest.raises(JobqError, match="has ended"):
        kept[0].log("too late")
    assert [line.text for line in handle.logs()] == ["in time"]


def test_strangers_in_the_keys_of_reports(test: Session, app: JobQ) -> None:
    def work() -> None:
        current_job().stream(1)
        current_job().log("mine")

    handle = run_one(test, app, work)
    run = app.store.run
    for words in (
        ("XADD", keys.chunks("default", handle.id), "*", "what", "ever"),
        ("XADD", keys.log("default", handle.id), "*", "m", b"\xff\x1b[2J"),
        ("HSET", keys.progress("default", handle.id), "f", "much", "t", "9" * 40),
    ):
        run(Op(words, nothing))
    assert [part.value for part in handle.stream()] == [1]
    assert [line.text for line in handle.logs()] == ["mine", "\ufffd\x1b[2J"]
    assert handle.progress() is None
    chunk = ("XADD", keys.chunks("default", handle.id), "*", "a", "1", "n", "2", "v", b"\xc1")
    run(Op(chunk, nothing))
    with pytest.raises(ResultUnreadable, match="cannot be read"):
        list(handle.stream())


def test_of_a_job_that_never_was_there_is_nothing(test: Session, app: JobQ) -> None:
    run_one(test, app, lambda: None)
    unknown: jobq.JobHandle[object] = jobq.JobHandle(app._producer, "default", "nobody")
    assert list(unknown.logs()) == []
    assert unknown.progress() is None
    with pytest.raises(JobNotFound):
        list(unknown.stream())
    with pytest.raises(ValueError, match="not the id of a part"):
        unknown.stream(after="yesterday")
