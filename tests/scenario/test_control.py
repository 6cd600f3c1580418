"""What supervisors are told through Redis: to cancel a job, to drain, to stop."""

import time

import msgpack
import pytest

from jobq.store.ops import control, inspect, manage
from jobq.store.ops.control import Command
from tests.scenario.ground import ASYNC, COMMON, PATIENCE, Ground, children
from tests.support.wait import wait_until


def tell(ground: Ground, action: str, name: str) -> None:
    ground.app.store.run(control.send(Command(action, name)))


def cancel(ground: Ground, job_id: str) -> None:
    """Cancel a job as a client does, wherever it is."""
    if ground.app.store.run(manage.cancel("default", job_id)) == manage.IS_RUNNING:
        ground.app.store.run(control.send(Command("cancel", job_id, "default")))


def states(ground: Ground) -> dict[str, str]:
    """Return what the register says that each supervisor does."""
    found = ground.app.store.run(inspect.workers())
    return {one.name: msgpack.unpackb(one.record)["state"] for one in found}


@pytest.mark.parametrize("kind", ["slow", "aslow", "steps"])
def test_a_running_job_is_cancelled_within_a_second(ground: Ground, kind: str) -> None:
    ground.write(
        COMMON,
        ASYNC if kind == "aslow" else "",
        """
@app.job
def steps(n, seconds):
    trace("started", n)
    for _ in range(seconds * 100):
        time.sleep(0.01)
    trace("ended", n)
""",
    )
    worker = ground.worker(*(("--threads", "4") if kind == "steps" else ()))
    job = ground.send(f"jobs.{kind}", 1, 30)
    ground.wait_traced("started")
    began = time.monotonic()
    cancel(ground, job.id)
    wait_until(lambda: job.status() == "cancelled", "it is cancelled", PATIENCE)
    took = time.monotonic() - began
    assert took < 2.0, f"{took:.1f} s, where a second is promised"
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    assert ground.ran("ended") == {}
    assert "killed" not in worker.text
    assert "worker died" not in worker.text


@pytest.mark.slow
def test_a_job_that_ignores_its_cancel_is_killed_and_ends_as_cancelled(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
import ctypes
@app.job
def deaf():
    trace("started", 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # which would end the sleep
    ctypes.PyDLL(None).sleep(60)  # holds the lock of the interpreter
""",
    )
    worker = ground.worker("--grace", "1")
    job = ground.send("jobs.deaf")
    ground.wait_traced("started")
    cancel(ground, job.id)
    worker.wait_for_line(r"killed worker pid=\d+ reason='job ignored its cancel'")
    wait_until(lambda: job.status() == "cancelled", "it is cancelled", PATIENCE)
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    assert ground.dead() == []
    assert ground.left() == 0
    assert ground.ran("started").total() == 1


def test_drain_finishes_what_runs_and_takes_nothing_new(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
@app.job
def until_told():
    trace("started", 1)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return 1
""",
    )
    worker = ground.worker("--name", "w1", processes=2)
    job = ground.send("jobs.until_told")
    ground.wait_traced("started")
    wait_until(lambda: states(ground) == {"w1": "running"}, "it is in the register")
    tell(ground, "drain", "w1")
    tell(ground, "drain", "another")
    wait_until(lambda: states(ground) == {"w1": "draining"}, "the register says so")
    (ground.folder / "go").touch()
    assert job.result(timeout=PATIENCE) == 1
    wait_until(lambda: states(ground) == {"w1": "drained"}, "the register says so")
    assert children(worker.pid) == []
    waiting = ground.send("jobs.who")
    other = ground.worker("--name", "w2")
    assert isinstance(waiting.result(timeout=PATIENCE), int)
    assert states(ground)["w1"] == "drained"
    tell(ground, "stop", "w1")
    assert worker.wait() == 0
    assert other.running


@pytest.mark.slow
def test_stop_and_stop_now(ground: Ground) -> None:
    ground.write(COMMON)
    first = ground.worker("--name", "w1")
    wait_until(lambda: states(ground) == {"w1": "running"}, "it is in the register")
    job = ground.send("jobs.slow", 1, 1.0)
    ground.wait_traced("started")
    tell(ground, "stop", "w1")
    first.wait_for_line("stopping: finishing 1 job")
    assert first.wait() == 0
    assert job.result(timeout=5) == 1

    second = ground.worker("--name", "w1")
    wait_until(lambda: states(ground) == {"w1": "running"}, "it is in the register")
    job = ground.send("jobs.slow", 2, 30)
    ground.wait_traced("started", 2)
    tell(ground, "stop-now", "w1")
    assert second.wait() == 143
    assert job.status() in {"ready", "retrying"}
    assert ground.redis.hgetall("jobq:{default}:history") == {}


def test_garbage_in_the_control_stream_harms_nobody(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.worker("--name", "w1")
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    for fields in (
        ("a", "b"),
        ("action", b"\xff", "target", "w1"),
        ("action", "cancel", "target", "x", "queue", "{", "entry", "y"),
        ("action", "cancel", "target", "x", "queue", "default", "entry", ""),
        ("action", "stop", "target", b"w1\xff"),
    ):
        ground.server.cli("XADD", "jobq:control", "*", *fields)
    job = ground.send("jobs.slow", 1, 30)
    ground.wait_traced("started")
    cancel(ground, job.id)
    wait_until(lambda: job.status() == "cancelled", "what comes after it is read", PATIENCE)
    ground.redis.delete("jobq:control")
    ground.redis.set("jobq:control", "garbage")
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    assert "Traceback" not in worker.text
    worker.terminate()
    assert worker.wait() == 0
