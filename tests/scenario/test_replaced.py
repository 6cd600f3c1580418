"""New workers for old ones: by SIGHUP, after so many jobs, above so much memory."""

import signal
import time
from pathlib import Path

import pytest

from tests.scenario.ground import COMMON, PATIENCE, Ground, alive, children, once_each, resident_mb
from tests.support.process import Child, jobq_command
from tests.support.wait import wait_until

#: The fast suite has three minutes.
pytestmark = pytest.mark.slow

MANY = 2000

VERSION = """
@app.job
def version():
    return {number}, os.getpid()
"""

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc tells it")


def asked(ground: Ground) -> tuple[int, int]:
    """Return the version that answers, and its process."""
    answer = ground.send("jobs.version").result(timeout=PATIENCE)
    assert isinstance(answer, tuple)
    number, pid = answer
    return int(number), int(pid)


def wait_replaced(worker: Child, old: list[int]) -> list[int]:
    """Wait until as many other processes have taken the place of the old ones."""
    return wait_until(
        lambda: (
            now
            if len(now := children(worker.pid)) == len(old) and not set(now) & set(old)
            else None
        ),
        "all workers are new ones",
        PATIENCE,
    )


@pytest.mark.slow
def test_sighup_restarts_all_with_new_code_under_load(ground: Ground) -> None:
    """Nothing is lost, nothing runs twice, and what runs is finished."""
    ground.write(COMMON, VERSION.format(number=1))
    worker = ground.worker(processes=2)
    assert asked(ground)[0] == 1
    old = children(worker.pid)
    slow = ground.send("jobs.slow", 7, 1.5)
    ground.wait_traced("started")
    ground.write(COMMON, VERSION.format(number=2))
    ground.put("jobs.short", [(n,) for n in range(MANY)])
    worker.signal(signal.SIGHUP)
    new = wait_replaced(worker, old)
    assert slow.result(timeout=PATIENCE) == 7
    ground.wait_empty()
    assert ground.ran() == once_each(MANY)
    number, pid = asked(ground)
    assert number == 2
    assert pid in new
    assert worker.running
    assert "worker died" not in worker.text
    worker.terminate()
    assert worker.wait() == 0


def test_code_that_cannot_be_imported_keeps_the_old_workers(ground: Ground) -> None:
    ground.write(COMMON, VERSION.format(number=1))
    worker = ground.worker(processes=2)
    old = set(children(worker.pid))
    heard: set[int] = set()
    while heard != old:  # both have the code that works
        heard.add(asked(ground)[1])
    ground.write("import no_such_module_of_ours", COMMON)
    worker.signal(signal.SIGHUP)
    worker.wait_for_line("kept the old workers reason='the new code cannot be loaded'")
    assert "no_such_module_of_ours" in worker.text
    wait_until(lambda: set(children(worker.pid)) == old, "only the old ones are there")
    assert asked(ground)[0] == 1
    ground.write(COMMON, VERSION.format(number=2))
    worker.signal(signal.SIGHUP)
    worker.wait_for_line("restarted all workers")
    assert asked(ground)[0] == 2


def test_new_code_may_have_other_queues(ground: Ground) -> None:
    ground.write("@app.job(queue='a')\ndef one(): trace('ran', 1)\n")
    worker = ground.worker()
    ground.put("jobs.one", [()], queue="a")
    ground.wait_traced("ran", 1)
    ground.write(
        "@app.job(queue='b', backoff=0.05)\n"
        "def two():\n"
        "    trace('ran', 2)\n"
        "    if current_job().attempt == 1: raise ValueError('again')\n"
    )
    worker.signal(signal.SIGHUP)
    worker.wait_for_line("restarted all workers")
    ground.put("jobs.two", [()], queue="b")
    assert [row[0] for row in ground.wait_traced("ran", 3)] == ["1", "2", "2"]


def test_max_jobs_replaces_workers_and_loses_nothing(ground: Ground) -> None:
    ground.write(COMMON, "@app.job\ndef pid(n):\n    trace('ran', n, os.getpid())\n")
    ground.put("jobs.pid", [(n,) for n in range(100)])
    worker = ground.burst("--processes", "2", "--max-jobs", "20")
    assert ground.ran() == once_each(100)
    assert len({row[1] for row in ground.traced("ran")}) >= 4
    assert ground.left() == 0
    assert "worker died" not in worker.text


@ON_LINUX
@pytest.mark.slow
def test_a_worker_above_max_rss_is_replaced_after_its_job(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
kept = []

@app.job
def grow(seconds):
    kept.append(b"x" * 200_000_000)
    trace("grown", os.getpid())
    time.sleep(seconds)
    return os.getpid()
""",
    )
    worker = ground.worker("--max-rss", "150MB")
    grown = ground.send("jobs.grow", 2.0)
    ((pid,),) = ground.wait_traced("grown")
    assert resident_mb(int(pid)) > 150
    worker.wait_for_line(rf"replacing worker pid={pid} .*rss=2\d\dMB")
    assert grown.result(timeout=PATIENCE) == int(pid), "its job was finished"
    wait_until(lambda: not alive(int(pid)), "the big one has ended")
    assert ground.send("jobs.who").result(timeout=PATIENCE) != int(pid)
    wait_until(lambda: len(children(worker.pid)) == 1, "one has its place")


@ON_LINUX
@pytest.mark.slow
def test_a_max_rss_below_every_worker_does_not_pile_them_up(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.worker("--max-rss", "1MB")
    ground.put("jobs.slow", [(n, 1.5) for n in range(4)])
    most = 0
    began = time.monotonic()
    while time.monotonic() - began < 6 or ground.left():
        most = max(most, len(children(worker.pid)))
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.05)  # noqa: TID251  looks, and waits for nothing
    assert most <= 3, "the old one, the new one, and one that is being buried"
    assert ground.ran("ended") == once_each(4)


def test_a_worker_that_ends_by_itself_has_a_successor(ground: Ground) -> None:
    ground.write(
        COMMON,
        "@app.job\ndef end():\n    os.kill(os.getpid(), signal.SIGTERM)\n    return os.getpid()\n",
    )
    worker = ground.worker()
    ended = ground.send("jobs.end").result(timeout=PATIENCE)
    worker.wait_for_line(f"worker ended by itself pid={ended}")
    assert ground.send("jobs.who").result(timeout=PATIENCE) != ended


def test_a_hangup_signal_before_the_first_worker_is_ready(ground: Ground) -> None:
    ground.write('trace("importing")\ntime.sleep(0.5)\n', COMMON)
    worker = ground.start("jobq", "worker", "--processes", "1")
    ground.wait_traced("importing")
    worker.signal(signal.SIGHUP)
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    worker.wait_for_line("restarted all workers")


#: Runs a program on a terminal of its own, until there is a file called "close".
ON_TERMINAL = """
import os, pty, sys, time
pid, terminal = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
while not os.path.exists("close"):
    time.sleep(0.05)
os.close(terminal)
print("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_the_end_of_the_terminal_stops_the_worker(ground: Ground) -> None:
    """It is told by the same signal."""
    ground.write(COMMON)
    words = [*jobq_command(), "worker", "--processes", "1"]
    helper = ground.start("python", "-c", ON_TERMINAL, *words)
    assert isinstance(ground.send("jobs.who").result(timeout=PATIENCE), int)
    (ground.folder / "close").touch()
    helper.wait_for_line("ended with 0", PATIENCE)
    assert ground.redis.hgetall("jobq:workers") == {}
