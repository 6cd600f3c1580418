"""Thousands of dead letters brought back: stopped while they fail, at the asked rate after that."""

import json
import os
import signal

import pytest

from jobq.core.ids import make_job_id
from tests.cli.burying import dead
from tests.scenario.ground import PATIENCE, Ground
from tests.support.wait import wait_until

MANY = 10_000

BROKEN = """
@app.job(retries=5, backoff="1h")
def work(n):
    if not os.path.exists("fixed"):
        raise KeyError(n)
    trace("ran", n, time.time())
"""


def bury_many(ground: Ground, many: int) -> None:
    """Write dead letters, as a burst of failures leaves them."""
    letter = dead("KeyError", "'ada'").encode()
    encode = ground.app.codec.encode_call
    with ground.redis.pipeline(transaction=False) as pipe:
        pipe.sadd("jobq:queues", "default")
        for n in range(many):
            job_id, entry = make_job_id(), f"1700000000000-{n + 1}"
            call = encode("jobs.work", (n,), {}, None)
            pipe.xadd("jobq:{default}:dead", {job_id: call, "letter": letter}, id=entry)
            pipe.hset("jobq:{default}:index", job_id, f"x{entry}")
        pipe.execute()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_canary_stops_it_and_after_the_fix_the_rate_is_kept(ground: Ground) -> None:
    ground.write(BROKEN)
    bury_many(ground, MANY)
    ground.worker("--processes", "1")
    words = ("jobq", "dlq", "retry", "--all", "--canary", "5", "--stop-on-failures", "20%", "-y")

    child = ground.start(*words, "--json")
    assert child.wait(PATIENCE) == 1
    said = json.loads(child.text[child.text.index("{") :].splitlines()[0])
    assert (said["selected"], said["retried"], said["succeeded"]) == (MANY, 5, 0)
    assert said["stopped"].endswith("of the first 5 failed again")
    assert ground.redis.xlen("jobq:{default}:dead") == MANY - 5

    (ground.folder / "fixed").touch()
    done = ground.start(*words, "--rate", "500/s", "--json").check(60)
    said = json.loads(done)
    assert (said["retried"], said["succeeded"], said["failed"]) == (MANY - 5, MANY - 5, 0)
    times = sorted(float(at) for _, at in ground.traced("ran"))[5:]  # but for the canary
    assert len(times) == MANY - 10
    rate = (len(times) - 1) / (times[-1] - times[0])
    assert 450 <= rate <= 550


@pytest.mark.slow
def test_ctrl_c_says_how_far_it_came(ground: Ground) -> None:
    ground.write(BROKEN)
    bury_many(ground, 100)
    child = ground.start("jobq", "dlq", "retry", "--all", "--rate", "20/s", "-y")
    letters = "jobq:{default}:dead"
    wait_until(lambda: ground.redis.xlen(letters) < 95, "some are back", PATIENCE)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(PATIENCE) == 130
    left = ground.redis.xlen(letters)
    assert f"{100 - left} dead letters retried." in child.text
    assert f"jobq: stopped: interrupted; {left} dead letters left" in child.text


@pytest.mark.slow
def test_failures_after_the_canary_stop_it_too(ground: Ground) -> None:
    ground.write(
        """
@app.job(retries=5, backoff="1h")
def work(n):
    if n < 70:  # the newest come first
        raise KeyError(n)
"""
    )
    bury_many(ground, 100)
    ground.worker("--processes", "1")
    child = ground.start(
        "jobq", "dlq", "retry", "--all", "--canary", "5", "--rate", "50/s",
        "--stop-on-failures", "20%", "-y",
    )  # fmt: skip
    assert child.wait(PATIENCE) == 1
    left = ground.redis.xlen("jobq:{default}:dead")
    assert 30 <= left < 70
    assert "failed again; " in child.text
