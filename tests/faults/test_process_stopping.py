"""Stops, drains, restarts and replacements under load: nothing is lost, nothing repeated (G7)."""

import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.faults.conftest import Fault
from tests.faults.field import JOBS, SYNC, Field
from tests.faults.hosts import SLACK, all_once, charged, start_host
from tests.scenario.ground import alive, resident_mb
from tests.support.wait import wait_until

SLOW = pytest.mark.slow

KINDS = pytest.mark.parametrize(
    "kind", ["inline", *(pytest.param(kind, marks=SLOW) for kind in ("threads", "async"))]
)
#: "batches": jobs that take so little that a worker holds many of them.
LOADS = pytest.mark.parametrize("kind", ["inline", "batches", "threads", "async"])

#: Jobs that take long in workers that are told so, and no time elsewhere.
OVERRUNS = """
@app.job(retries=0)
{kind}def overruns(seconds):
    job = current_job()
    trace("start", job.id, job.attempt, os.getpid(), time.monotonic())
    {sleep}(seconds if os.environ.get("SLOW") else 0)
    trace("end", job.id, os.getpid(), time.monotonic())
"""

#: A job that keeps 4 MB for ever.
LEAKS = """
hoard = []

@app.job
def leaks(n):
    job = begin()
    hoard.append(b"x" * 4_000_000)
    end(job)
"""


class Load:
    """A producer that keeps its queue filled while a test does something to the workers.

    Args:
        name: the job function.
        seconds: that each job takes.

    Attributes:
        name: the job function.
        ids: of all jobs so far.
    """

    def __init__(self, field: Field, name: str, seconds: float) -> None:
        self._field = field
        self.name = name
        self._seconds = seconds
        self._over = threading.Event()
        self.ids: list[str] = []

    def put(self, many: int) -> None:
        """Enqueue more."""
        calls = [(n, self._seconds) for n in range(many)]
        self.ids += self._field.put(self.name, calls)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Enqueue more whenever there are few, from a thread of its own."""
        self.put(100)
        thread = threading.Thread(target=self._flow)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def until(self, many: int) -> None:
        """Wait until so many more jobs have succeeded."""
        target = self._field.succeeded() + many
        wait_until(lambda: self._field.succeeded() >= target, f"{many} more jobs are done", 30)

    def check(self, fault: Fault) -> None:
        """Wait until all is done, and fill in the book: each job ran once."""
        self._field.wait_over()
        account = self._field.account(self.ids)
        fault.lost, fault.duplicated = len(account.lost), account.duplicated
        fault.note(f"{len(self.ids)} jobs")
        assert account.succeeded == set(self.ids)
        assert all_once(account, self.ids)
        assert self._field.succeeded() == len(self.ids)

    def _flow(self) -> None:
        while not self._over.wait(0.02):
            if self._field.left() < 500:
                self.put(100)


def load(field: Field, kind: str) -> tuple[Load, Sequence[str]]:
    """Write the jobs for a kind of worker; returns a load of them, and the worker's options."""
    field.write(JOBS if kind == "async" else SYNC)
    options = {"threads": ("--threads", "4"), "async": ("--concurrency", "4")}
    name = "jobs.awork" if kind == "async" else "jobs.work"
    seconds = 0.0002 if kind == "batches" else 0.01
    return Load(field, name, seconds), options.get(kind, ())


def states(field: Field) -> dict[str, str]:
    """Return the state of each worker in the register."""
    rows = json.loads(field.start("jobq", "workers", "--json").check(20))
    return {one["name"]: one["state"] for one in rows}


@KINDS
@pytest.mark.fault("G7")
def test_what_overruns_the_grace_is_given_back(field: Field, fault: Fault, kind: str) -> None:
    """Uncharged, and it starts elsewhere at once; what ends within the grace has ended."""
    _, options = load(field, kind)
    word, sleep = ("async ", "await asyncio.sleep") if kind == "async" else ("", "time.sleep")
    field.write(OVERRUNS.format(kind=word, sleep=sleep))
    field.env["SLOW"] = "1"
    first = start_host(field, "first", "--grace", "1", *options)
    overruns = field.put("jobs.overruns", [(30,)])
    field.wait_traced("start")
    ends = field.put("jobs.overruns", [(0.6,)])
    field.wait_traced("start", 2)
    asked = time.monotonic()
    first.child.terminate()
    first.child.wait_for_line("stopping: finishing 2 jobs")
    field.env["SLOW"] = ""
    second = start_host(field, "second", *options, processes=1)
    code = first.child.wait(10)
    field.wait_traced("start", 3)
    ((_, attempt, pid, at),) = field.traced("start")[2:]
    field.wait_over()

    account = field.account([*overruns, *ends])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    fault.recovery = float(at) - asked - 1.0
    assert account.succeeded == {*overruns, *ends}
    assert (account.starts[overruns[0]], account.starts[ends[0]]) == (2, 1)
    assert int(pid) in second.workers
    assert attempt == "1", "to be interrupted by a stop is no attempt"
    assert field.redis.hget("jobq:{default}:meta", "retried") is None
    assert -0.1 <= fault.recovery <= 1.0 + SLACK
    assert code == 128 + signal.SIGTERM
    assert charged(first.child) == 0


@LOADS
@pytest.mark.slow
@pytest.mark.fault("G7")
def test_rolling_restarts_of_supervisors_under_load(field: Field, fault: Fault, kind: str) -> None:
    """Again and again a new one is started and the old one told to stop, as a deploy does."""
    some, options = load(field, kind)
    times = 10 if kind in {"inline", "batches"} else 5
    hosts = [start_host(field, "host0", *options)]
    with some.flowing():
        for number in range(1, times + 1):
            some.until(50)
            hosts.append(start_host(field, f"host{number}", *options))
            hosts[-2].child.terminate()
        some.until(50)
    some.check(fault)
    assert [host.child.wait(20) for host in hosts[:-1]] == [0] * times


@LOADS
@pytest.mark.slow
@pytest.mark.fault("G7")
def test_hangups_replace_the_workers_under_load(field: Field, fault: Fault, kind: str) -> None:
    """SIGHUP, five times: new code is loaded beside the old, which finishes what it runs."""
    some, options = load(field, kind)
    host = start_host(field, "host", *options)
    with some.flowing():
        for number in range(1, 6):
            some.until(50)
            old = set(host.workers)
            host.child.signal(signal.SIGHUP)
            wait_until(
                lambda: not any(map(alive, old)) and len(host.workers) == len(old),  # noqa: B023
                f"all workers are new, {number} times",
                30,
            )
    some.check(fault)
    assert host.child.running
    assert "worker died" not in host.child.text


@pytest.mark.slow
@pytest.mark.fault("G7")
def test_hangups_that_come_too_fast(field: Field, fault: Fault) -> None:
    some, _ = load(field, "inline")
    host = start_host(field, "host")
    with some.flowing():
        some.until(50)
        old = set(host.workers)
        for _ in range(5):
            host.child.signal(signal.SIGHUP)
        wait_until(lambda: not any(map(alive, old)), "no worker is an old one", 30)
    some.check(fault)
    assert len(host.workers) >= 2
    host.child.terminate()
    assert host.child.wait() == 0


@pytest.mark.slow
@pytest.mark.fault("G7")
def test_a_drained_worker_finishes_and_takes_nothing_new(field: Field, fault: Fault) -> None:
    """By name, from another process; it stays until it is stopped."""
    some, _ = load(field, "inline")
    one, other = (start_host(field, name) for name in ("one", "other"))
    some.ids += field.put("jobs.work", [(n, 1.0) for n in range(4)])
    field.wait_traced("start", 4)
    drained = one.workers
    with some.flowing():
        field.start("jobq", "workers", "drain", "one").check(20)
        wait_until(lambda: not any(map(alive, drained)), "its workers have ended")
        done = len(field.traced("start"))
        some.until(100)
    some.check(fault)

    late = field.traced("start")[done:]
    assert late, "it was over too early to prove anything"
    assert {int(rest[2]) for rest in late} <= set(other.workers)
    assert one.child.running
    wait_until(lambda: states(field)["one"] == "drained", "the register says so")
    field.start("jobq", "workers", "stop", "one").check(20)
    assert one.child.wait() == 0
    assert other.child.running


@pytest.mark.parametrize("now", [False, True], ids=["stop", "stop now"])
@pytest.mark.slow
@pytest.mark.fault("G7")
def test_a_worker_is_stopped_by_name_under_load(field: Field, fault: Fault, now: bool) -> None:
    some, _ = load(field, "inline")
    one, other = (start_host(field, name) for name in ("one", "other"))
    with some.flowing():
        some.until(50)
        words = ("--now",) if now else ()
        field.start("jobq", "workers", "stop", "one", *words).check(20)
        code = one.child.wait()
        some.until(50)
    if now:  # as a second SIGTERM: what runs is given back, and so is started again
        field.wait_over()
        account = field.account(some.ids)
        fault.lost, fault.duplicated = len(account.lost), account.duplicated
        assert account.succeeded == set(some.ids)
        assert account.duplicated <= 2
        assert {rest[1] for rest in field.traced("start")} == {"1"}
        assert code in {0, 128 + signal.SIGTERM}
    else:
        some.check(fault)
        assert code == 0
    assert other.child.running


@LOADS
@pytest.mark.slow
@pytest.mark.fault("G7")
def test_workers_that_have_run_their_jobs_are_replaced(
    field: Field, fault: Fault, kind: str
) -> None:
    some, options = load(field, kind)
    some.put(600)
    host = start_host(field, "host", "--max-jobs", "100", *options)
    some.check(fault)
    each = [sum(int(rest[2]) == pid for rest in field.traced("start")) for pid in pids_in(field)]
    fault.note(f"{len(each)} workers")
    assert len(each) >= 6
    assert max(each) <= 100 + (100 if kind == "async" else 4)
    assert host.child.running
    assert "worker died" not in host.child.text


@pytest.mark.slow
@pytest.mark.fault("G7")
def test_workers_that_have_grown_too_big_are_replaced(field: Field, fault: Fault) -> None:
    field.write(SYNC, LEAKS)
    host = start_host(field, "host", processes=1)
    (pid,) = host.workers
    some = Load(field, "jobs.leaks", 0.0)
    some.ids += field.put("jobs.work", [(1,)])
    field.wait_over()
    small = resident_mb(pid)
    host.child.terminate()
    host.child.wait()
    limit = int(small) + 60
    host = start_host(field, "limited", "--max-rss", f"{limit}MB", processes=2)
    some.ids += field.put("jobs.leaks", [(n,) for n in range(40)])
    slow = field.put("jobs.work", [(n, 0.05) for n in range(100)])
    some.ids += field.put("jobs.leaks", [(n,) for n in range(40, 80)]) + slow
    some.check(fault)
    wait_until(lambda: "replacing worker" in host.child.text, "a worker was replaced", 10)
    wait_until(
        lambda: all(resident_mb(pid) < limit for pid in host.workers), "all workers are small", 10
    )
    assert host.child.running
    assert "worker died" not in host.child.text


def pids_in(field: Field) -> set[int]:
    """Return the processes in which jobs were started so far."""
    return {int(rest[2]) for rest in field.traced("start")}
