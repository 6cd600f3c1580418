"""`jobq job run ID --here`: the job is called, and nothing of it is changed."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from jobq.client.app import JobQ
from jobq.core.reports import CHECKPOINT_MS
from jobq.store import keys
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run
from tests.support.terminal import on_a_terminal, read_until

JOBS = """
import asyncio

from jobq import JobQ, current_job

app = JobQ()


@app.around_run
def around(job, forward):
    print("before", job.id, job.attempt, dict(job.headers))
    return forward()


@app.job(name="shop.send", timeout="10ms")
def send(to, subject="none"):
    end = asyncio.new_event_loop()
    end.run_until_complete(asyncio.sleep(0.05))  # longer than its timeout
    end.close()
    return f"{subject} to {to}"


@app.job(name="shop.fail")
def fail(what):
    raise LookupError(f"no {what}\\x1b[2J")


@app.job(name="shop.leave")
def leave():
    raise SystemExit(0)


@app.job(name="shop.wait")
async def wait(n):
    await asyncio.sleep(0)
    job = current_job()
    await job.astream({"half": n})
    await job.acheckpoint(n)
    return await job.acheckpointed()


@app.job(name="shop.tell")
def tell():
    job = current_job()
    job.progress(0.4, "resizing")
    job.log("three\\nlines", "WARNING")
    job.stream([1, 2])
    kept = job.checkpointed
    job.checkpoint({"done": 3})
    assert job.still_mine()
    return kept, job.checkpointed, job.attempt


@app.job(name="shop.bad")
def bad():
    current_job().stream(object())


@app.job(name="shop.debug")
def debug(n):
    breakpoint()
    return n
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[None]:
    """A `jobs.py` in the current directory, imported anew."""
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("jobs", None)
    yield
    sys.modules.pop("jobs", None)


class Photo:
    """All that is in Redis, as it was."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.taken = self._take()

    def _take(self) -> dict[bytes, object]:
        keys = sorted(self._redis.scan_iter())
        return {key: self._redis.dump(key) for key in keys}

    def is_true(self) -> bool:
        """Tell whether it still looks like that."""
        return self.taken == self._take()


def test_one_that_waits(run: Run, undertaker: Undertaker, redis: Redis) -> None:
    job_id = undertaker.enqueue("shop.send", "ada", kwargs={"subject": "Hi"})
    photo = Photo(redis)
    ran = run("job", "run", job_id, "--here")
    assert ran.code == 0
    assert ran.out.splitlines() == [f"before {job_id} 1 {{}}", "'Hi to ada'"]
    said = ran.err.splitlines()
    assert said[0] == "Running shop.send('ada', subject='Hi') here."
    assert said[1].startswith("It is ready, and stays so. Nothing of the job is changed by this;")
    assert said[-1].startswith("It returned after ")
    assert photo.is_true()


def test_one_that_is_dead(run: Run, undertaker: Undertaker, redis: Redis) -> None:
    job_id = undertaker.dead("shop.fail", "bread")
    photo = Photo(redis)
    ran = run("job", "run", job_id, "--here", "-q", "mail")
    assert ran.code == 1
    assert "It is dead after 4 attempts, and stays so." in ran.err
    assert f"before {job_id} 4" in ran.out
    assert "LookupError: no bread\n" in ran.err
    assert 'jobs.py", line' in ran.err
    assert "/jobq/" not in ran.err, "our own frames are of no interest"
    assert "\x1b" not in ran.err
    assert "It raised LookupError after " in ran.err
    assert photo.is_true()


def test_one_that_waits_for_another_attempt(run: Run, undertaker: Undertaker, redis: Redis) -> None:
    job_id = undertaker.enqueue("shop.wait", 7)
    undertaker.park()
    photo = Photo(redis)
    ran = run("job", "run", job_id, "--here")
    assert (ran.code, ran.out) == (0, "7\n")
    assert "It is retrying, and stays so." in ran.err
    assert "stream  {'half': 7}" in ran.err
    assert "checkpoint  7 (not kept)" in ran.err
    assert photo.is_true()


def test_what_it_reports_is_shown_and_kept_nowhere(
    run: Run, undertaker: Undertaker, redis: Redis
) -> None:
    job_id = undertaker.enqueue("shop.tell")
    blob = undertaker.codec.encode_value({"done": 2})
    redis.set(keys.checkpoint("mail", job_id), blob, px=CHECKPOINT_MS)
    photo = Photo(redis)
    ran = run("job", "run", job_id, "--here")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "({'done': 2}, {'done': 3}, 1)"
    assert ran.err.splitlines()[3:7] == [
        "progress   40%  resizing",
        "log  WARNING three lines",
        "stream  [1, 2]",
        "checkpoint  {'done': 3} (not kept)",
    ]
    assert photo.is_true()


def test_what_cannot_travel_fails_as_in_a_worker(run: Run, undertaker: Undertaker) -> None:
    ran = run("job", "run", undertaker.enqueue("shop.bad"), "--here")
    assert ran.code == 1
    assert "It raised NotEncodable" in ran.err


def test_sys_exit_in_a_job_is_a_failure(run: Run, undertaker: Undertaker) -> None:
    ran = run("job", "run", undertaker.enqueue("shop.leave"), "--here")
    assert ran.code == 1
    assert "It raised SystemExit after" in ran.err


def test_one_that_runs_is_asked_about(run: Run, undertaker: Undertaker, redis: Redis) -> None:
    job_id = undertaker.enqueue("shop.send", "ada")
    undertaker.start()
    photo = Photo(redis)
    ran = run("job", "run", job_id, "--here")
    assert ran.code == 2
    assert "It runs on w1 just now. Run it here too?" in ran.err
    assert ran.out == ""
    assert run("job", "run", job_id, "--here", "--yes").code == 0
    assert photo.is_true()


def test_what_cannot_be_run(run: Run, undertaker: Undertaker) -> None:
    waiting = undertaker.enqueue("shop.sent", "ada")
    for words, code, said in (
        ([waiting], 2, "add --here"),
        (["nope", "--here"], 3, "no job nope"),
        ([waiting, "--here"], 1, "no job function 'shop.sent'. Did you mean 'shop.send'?"),
        ([undertaker.enqueue(call=b"garbage"), "--here"], 1, "not a call"),
    ):
        ran = run("job", "run", *words)
        assert ran.code == code, said
        assert said in ran.err


def test_one_that_has_ended(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue("shop.send", "ada")
    undertaker.succeed("sent")
    ran = run("job", "run", job_id, "--here")
    assert ran.code == 1
    assert "has succeeded: its call is not kept" in ran.err


@pytest.mark.parametrize(
    ("ours", "theirs", "problem"),
    [
        ("a:0123456789abcdef", "", "not signed"),
        ("a:0123456789abcdef", "a:fedcba9876543210", "does not fit key 'a'"),
        ("a:0123456789abcdef", "b:0123456789abcdef", "signed by key 'b'"),
        ("", "a:0123456789abcdef", "signed by key 'a'"),
        ("a:0123456789abcdef", "a:0123456789abcdef", ""),
    ],
)
def test_only_calls_that_are_signed_as_they_must_be(
    run: Run, monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str, problem: str
) -> None:
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", theirs)
    with JobQ() as producer:
        job_id = producer.send("shop.send", "ada").id
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", ours)
    ran = run("job", "run", job_id, "--here")
    assert ran.code == (1 if problem else 0)
    assert problem in ran.err
    assert ("before" in ran.out) is not bool(problem)


def test_headers_are_there(run: Run) -> None:
    with JobQ() as producer:
        job_id = producer.options(headers={"tenant": "blue"}).send("shop.send", "ada").id
    assert f"before {job_id} 1 {{'tenant': 'blue'}}" in run("job", "run", job_id, "--here").out


@pytest.mark.slow
def test_breakpoint_works(undertaker: Undertaker, redis: Redis, redis_url: str) -> None:
    job_id = undertaker.enqueue("shop.debug", 41)
    photo = Photo(redis)
    for words, answer, code in ((b"p n + 1\n", b"42", 0), (b"q\n", b"", None)):
        with on_a_terminal(["job", "run", job_id, "--here"], redis_url) as (process, terminal):
            read_until(terminal, b"(Pdb) ")
            os.write(terminal, words)
            if answer:
                read_until(terminal, answer)
                os.write(terminal, b"c\n")
                read_until(terminal, b"It returned")
            assert process.wait(20) == (130 if code is None else code)
    assert photo.is_true()
