"""`jobq why`: each reason in a real situation."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from jobq import JobQ
from jobq.store import keys
from jobq.store.ops import pause
from tests.cli.conftest import Run
from tests.support.wait import wait_until


@pytest.fixture
def app(redis_url: str) -> Iterator[JobQ]:
    with JobQ(redis_url) as app:
        yield app


def asked(run: Run, job_id: str) -> tuple[str, str]:
    said = run("why", job_id, "--json")
    assert (said.code, said.err) == (0, "")
    found = said.json
    assert isinstance(found, dict)
    assert found["id"] == job_id
    told = run("why", job_id).out.rstrip()
    assert told.partition(" (")[0] == found["sentence"].partition(" (")[0]
    return found["why"], found["sentence"]


def test_without_a_worker(run: Run, app: JobQ, redis: Redis) -> None:
    said = run("why", "no-such-job")
    assert (said.code, said.out) == (3, "")
    assert "there is no job no-such-job" in said.err
    assert "fix: jobq queues" in said.err
    first = app.send("f")
    assert asked(run, first.id) == ("no worker", "No live worker reads queue default.")
    later = app.options(delay="1h").send("f")
    why, sentence = asked(run, later.id)
    assert why == "delayed"
    assert "It is delayed until 20" in sentence
    assert sentence.endswith(("(in 1 h).", "(in 59 m 59 s)."))
    app.store.run(pause.pause("default", "f", for_=60.0, by="ada", reason="a deploy"))
    why, sentence = asked(run, first.id)
    assert why == "paused"
    assert sentence.startswith("Job function f of queue default is paused since 20")
    assert sentence.endswith(": a deploy.")
    assert " by ada, until 20" in sentence
    assert "job function f of queue default is paused" in asked(run, later.id)[1]
    app.store.run(pause.resume("default", "f"))
    assert later.cancel()
    assert asked(run, later.id) == ("cancelled", "It was cancelled.")
    limited = app.options(expires=timedelta(milliseconds=1)).send("f")
    wait_until(lambda: "It has expired" in run("why", limited.id).out, "it has expired")
    redis.delete(*keys.of_queue("default"))
