"""`jobq why` beside real workers: each reason in a real situation."""

import json

import pytest

from tests.scenario.ground import PATIENCE, Ground
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow


def asked(ground: Ground, job_id: str) -> tuple[str, str]:
    found = json.loads(ground.start("jobq", "why", job_id, "--json").check(PATIENCE))
    return found["why"], found["sentence"]


JOBS = """
from jobq import Snooze

@app.job(result_ttl="1h")
def ok():
    return 1

@app.job(retries=5, backoff="1h")
def fails():
    raise ValueError("no")

@app.job
def sleeps():
    raise Snooze("1h")

@app.job
def dies():
    raise Dead("as told")

@app.job(queue="slow")
def slow(n):
    trace("started", n)
    time.sleep(60)
"""


def test_with_workers(ground: Ground) -> None:
    ground.write(JOBS)
    ground.worker("--queue", "default", "--name", "one")
    jobs = {name: ground.send(f"jobs.{name}") for name in ("ok", "fails", "sleeps", "dies", "nix")}
    for name, why in {
        "ok": "succeeded", "fails": "retry", "sleeps": "snoozed", "dies": "dead", "nix": "unknown",
    }.items():  # fmt: skip
        at = jobs[name].id
        wait_until(lambda at=at, why=why: asked(ground, at)[0] == why, f"{name} is {why}", PATIENCE)  # type: ignore[misc]
    assert "It waits for retry 1 of 5 until 20" in asked(ground, jobs["fails"].id)[1]
    assert "It has snoozed itself, until 20" in asked(ground, jobs["sleeps"].id)[1]
    assert (
        asked(ground, jobs["dies"].id)[1] == "It is dead after 1 attempt: as told (Dead: as told)."
    )
    assert "knows a job function 'jobs.nix'" in asked(ground, jobs["nix"].id)[1]

    runs = ground.app.options(queue="slow").send("jobs.slow", 0)
    assert asked(ground, runs.id)[0] == "no worker"
    ground.worker("--queue", "slow", "--name", "two", "--lease", "2", "--grace", "1")
    ground.wait_traced("started")
    assert asked(ground, runs.id)[0] == "running"
    assert "It is running on two" in asked(ground, runs.id)[1]
    ids = ground.put("jobs.slow", [(n,) for n in range(1, 1200)], queue="slow")
    wait_until(lambda: asked(ground, ids[-1])[0] == "busy", "all are busy", PATIENCE)
    sentence = asked(ground, ids[-1])[1]
    assert sentence.startswith("Every worker of queue slow is busy: 1 of 1 jobs run, and it waits")
    assert sentence.endswith("behind 1,198 others.")
    assert asked(ground, ids[0])[1].endswith("and it is the next one.")
    ground.start("jobq", "workers", "drain", "two", "--yes").check(PATIENCE)
    wait_until(lambda: asked(ground, ids[0])[0] == "draining", "it drains", PATIENCE)
