"""Jobs that run past their hard timeout: their process is killed, and nobody else is harmed."""

import re
import time

import pytest

from jobq.core.history import History
from tests.scenario.ground import COMMON, PATIENCE, Ground, children
from tests.support.wait import wait_until

#: A job that no signal and no exception reaches: in C, with the lock of the interpreter held.
STUCK = """
import ctypes

def hold(seconds):
    every = [signal.SIGALRM, signal.SIGUSR1]  # which would end the sleep
    signal.pthread_sigmask(signal.SIG_BLOCK, every)
    ctypes.PyDLL(None).sleep(seconds)

@app.job(hard_timeout=1, retries=RETRIES, backoff=0.05)
def stuck():
    trace("stuck", current_job().attempt)
    hold(60)
"""


@pytest.mark.slow
def test_it_is_a_failed_attempt_each_time_and_then_a_dead_letter(ground: Ground) -> None:
    ground.write(COMMON, STUCK.replace("RETRIES", "1"))
    worker = ground.worker()
    job = ground.send("jobs.stuck")
    ground.wait_traced("stuck", 2)
    history = ground.redis.hget("jobq:{default}:history", job.id)
    assert isinstance(history, bytes)
    (first,) = History.decode(history).attempts
    assert (first.attempt, first.kind, first.error) == (1, "timeout", "JobTimedOut")
    assert History.decode(history).crashes == 0
    wait_until(lambda: job.status() == "dead", "it is dead", PATIENCE)
    (letter,) = ground.dead()
    assert (letter["reason"], letter["attempts"]) == ("attempts used up", 2)
    said = "ran longer than 1 s and did not end; its worker process was killed by SIGKILL, "
    assert said in str(letter)
    assert [row[0] for row in ground.traced("stuck")] == ["1", "2"]
    wait_until(lambda: len(children(worker.pid)) == 1, "it has a successor")
    killed = re.findall(r"killed worker pid=\d+ reason='job stuck", worker.text)
    assert len(killed) == 2
    assert "worker died" not in worker.text
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)


def test_what_ran_beside_it_is_released_uncharged(ground: Ground) -> None:
    ground.write(
        COMMON,
        STUCK.replace("RETRIES", "0"),
        """
@app.job
def beside(seconds):
    trace("beside", current_job().attempt)
    time.sleep(seconds if len(open(os.environ["TRACE"]).readlines()) < 3 else 0)
    return current_job().attempt
""",
    )
    ground.worker("--threads", "3")
    beside = ground.send("jobs.beside", 30)
    ground.wait_traced("beside")
    stuck = ground.send("jobs.stuck")
    ground.wait_traced("stuck")
    wait_until(lambda: stuck.status() == "dead", "it is dead", PATIENCE)
    assert beside.result(timeout=PATIENCE) == 1, "it counted as no attempt"
    assert ground.left() == 1


@pytest.mark.slow
def test_a_suspect_that_is_stuck_ends_too(ground: Ground) -> None:
    """It runs alone, in a worker for such jobs."""
    ground.write(
        COMMON,
        STUCK.replace("RETRIES", "0"),
        """
@app.job(hard_timeout=1, retries=2, backoff=0.05)
def suspect():
    trace("suspect", current_job().attempt)
    if current_job().attempt == 1:
        os._exit(1)
    if current_job().attempt == 2:
        hold(60)
    return current_job().attempt
""",
    )
    began = time.monotonic()
    ground.worker()
    assert ground.send("jobs.suspect").result(timeout=PATIENCE) == 3
    assert time.monotonic() - began < 15
