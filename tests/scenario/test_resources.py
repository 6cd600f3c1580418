"""Memory, descriptors and processes: what a worker takes, and gives back."""

from pathlib import Path

import pytest

from tests.scenario.ground import ASYNC, COMMON, Ground, alive, children, kill, resident_mb
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells it")

#: MB, resident: design.md 8.
SUPERVISOR, WORKER = 30, 32


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_idle_processes_are_small(ground: Ground, kind: str) -> None:
    ground.write(
        "" if kind == "sync" else ASYNC,
        COMMON,
    )
    jobs = ground.folder / "jobs.py"
    jobs.write_text(
        jobs.read_text().replace("import asyncio, ctypes, os", "import os")
        if kind == "sync"
        else jobs.read_text()
    )
    worker = ground.worker(processes=2)
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    supervisor, workers = (
        resident_mb(worker.pid),
        [resident_mb(pid) for pid in children(worker.pid)],
    )
    assert supervisor <= SUPERVISOR
    if kind == "sync":
        assert max(workers) <= WORKER


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_reconnects_leak_nothing(ground: Ground, proxy: Proxy, kind: str) -> None:
    ground.url = proxy.url
    ground.write(COMMON, ASYNC if kind == "async" else "")
    worker = ground.worker()
    (pid,) = children(worker.pid)
    ground.send("jobs.who").result(timeout=10)
    before = descriptors(pid), descriptors(worker.pid)
    for _ in range(50):
        proxy.cut()
        assert ground.send("jobs.who").result(timeout=10) == pid
    wait_until(lambda: descriptors(pid) <= before[0] + 1, "its connections are closed")
    wait_until(lambda: descriptors(worker.pid) <= before[1] + 1, "the supervisor's too")


@pytest.mark.slow
def test_restarts_leak_nothing_and_leave_no_zombie(ground: Ground) -> None:
    ground.write(COMMON, "@app.job(retries=0)\ndef die(): os._exit(1)")
    worker = ground.worker(processes=2)
    ground.send("jobs.who").result(timeout=10)
    before = descriptors(worker.pid)
    for _ in range(3):
        victim = children(worker.pid)[0]
        kill(victim)
        wait_until(
            lambda gone=victim: (
                gone not in children(worker.pid)  # type: ignore[misc]
                and len(children(worker.pid)) == 2
            ),
            "it is buried, and there is a new one",
        )
    ground.send("jobs.die")
    ground.wait_empty(dead=1)
    wait_until(lambda: len(children(worker.pid)) == 2, "the isolated worker has ended")
    assert ground.send("jobs.who").result(timeout=10) in children(worker.pid)
    wait_until(lambda: descriptors(worker.pid) <= before, "no pipe is left open")
    pids = children(worker.pid)
    worker.terminate()
    assert worker.wait() == 0
    assert not any(map(alive, pids))


@pytest.mark.slow
def test_many_jobs_leak_no_memory(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.worker()
    (pid,) = children(worker.pid)
    ground.put("jobs.who", [()] * 20_000)
    ground.wait_empty()
    before = resident_mb(pid)
    ground.put("jobs.who", [()] * 60_000)
    ground.wait_empty(timeout=60)
    assert resident_mb(pid) - before < 4
