"""Long jobs, jobs that hold the GIL, and frozen processes: who has the lease is who runs."""

import time
from collections.abc import Iterable

import pytest

from tests.faults.conftest import Fault
from tests.faults.field import JOBS, SYNC, Field
from tests.faults.hosts import (
    all_once,
    freeze,
    longest_wait,
    start_host,
    start_hosts,
    started_in,
    thaw,
    wait_idle,
)
from tests.support.wait import wait_until

SLOW = pytest.mark.slow

#: Jobs that hold the GIL in C, as a large matrix product or a regular expression can; those of
#: a loop only where KIND says so, for they would make a worker of any kind one with a loop.
GIL = """
def hold(seconds):
    job = begin()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    end(job)

@app.job
def holds_gil(seconds): hold(seconds)

if os.environ.get("KIND") == "async":
    @app.job
    async def aholds_gil(seconds): hold(seconds)

    @app.job
    async def waits(n, seconds):
        job = begin()
        await asyncio.sleep(seconds)
        end(job)
"""
#: The names of a job that takes long, and of one that holds the GIL, for each kind of worker. Each
#: kind reads a queue of its own, so that it is they who run its jobs.
KINDS = {
    "inline": ("jobs.work", "jobs.holds_gil"),
    "threads": ("jobs.work", "jobs.holds_gil"),
    "async": ("jobs.waits", "jobs.aholds_gil"),
}


class Lanes:
    """A worker of each kind, a second one beside each, and the jobs that only theirs may run."""

    def __init__(self, field: Field, lease: float, kinds: Iterable[str]) -> None:
        self._field = field
        self.ids: dict[str, list[str]] = {}
        field.write(SYNC, GIL)
        for kind in kinds:
            field.env["KIND"] = kind
            options = ("--lease", str(lease), "-q", kind)
            more = ("--threads", "3") if kind == "threads" else ()
            names = [f"{kind}{number}" for number in (1, 2)]
            start_hosts(field, names, *options, *more, processes=1)

    def put(self, kind: str, name: str, *args: object) -> None:
        """Enqueue a job for a kind of worker."""
        self.ids.setdefault(kind, []).extend(self._field.put(name, [args], queue=kind))

    def check(self, fault: Fault, timeout: float) -> None:
        """Wait until all is done, and fill in the book: each job ran once."""
        for kind in self.ids:
            self._field.wait_over(kind, timeout)
        accounts = {kind: self._field.account(ids, kind) for kind, ids in self.ids.items()}
        fault.lost = sum(len(account.lost) for account in accounts.values())
        fault.duplicated = sum(account.duplicated for account in accounts.values())
        for kind, ids in self.ids.items():
            assert all_once(accounts[kind], ids), kind
            assert self._field.succeeded(kind) == len(ids)


@pytest.mark.parametrize(
    ("seconds", "lease", "kinds"),
    [
        pytest.param(3.0, 1.0, ("inline",), id="short"),
        pytest.param(12.0, 1.0, KINDS, id="12 leases", marks=SLOW),
        pytest.param(60.0, 3.0, KINDS, id="a minute", marks=[SLOW, pytest.mark.timeout(120)]),
    ],
)
@pytest.mark.fault("G3")
def test_a_job_of_many_leases_runs_once(
    field: Field, fault: Fault, seconds: float, lease: float, kinds: Iterable[str]
) -> None:
    lanes = Lanes(field, lease, kinds)
    for kind in kinds:
        lanes.put(kind, KINDS[kind][0], 1, seconds)
    lanes.check(fault, seconds + 20)


@pytest.mark.parametrize(
    ("seconds", "lease", "kinds"),
    [
        pytest.param(3.0, 1.0, ("inline",), id="short"),
        pytest.param(10.0, 3.0, KINDS, id="10 s"),
    ],
)
@pytest.mark.slow
@pytest.mark.fault("G3")
def test_a_job_that_holds_the_gil_in_c_runs_once(
    field: Field, fault: Fault, seconds: float, lease: float, kinds: Iterable[str]
) -> None:
    """No thread of its worker moves meanwhile; its supervisor renews from outside."""
    lanes = Lanes(field, lease, kinds)
    for kind in kinds:
        if kind != "inline":  # beside it, in the same worker, or it is fetched by the other one
            lanes.put(kind, KINDS[kind][0], 1, seconds / 3)
        lanes.put(kind, KINDS[kind][1], seconds)
    lanes.check(fault, seconds + 20)


@pytest.mark.slow
@pytest.mark.fault("G3")
def test_a_worker_that_is_frozen_keeps_its_job(field: Field, fault: Fault) -> None:
    """For longer than its lease: its supervisor lives and renews; nothing starts twice."""
    lease = 1.0
    first = start_host(field, "first", "--lease", str(lease), processes=1)
    job = field.send("jobs.work", 1, 0.5)
    field.wait_traced("start")
    frozen = first.workers
    freeze(frozen)
    began = time.monotonic()
    second = start_host(field, "second", "--lease", str(lease), processes=1)
    wait_until(lambda: time.monotonic() - began > longest_wait(lease), "the lease is long over")
    assert started_in(field, job.id) == frozen
    thaw(frozen)
    assert job.result(timeout=10) == 1
    field.wait_over()

    account = field.account([job.id])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert all_once(account, [job.id])
    assert "took over" not in second.child.text


#: Jobs that outlast their freeze, and tell whether they still have the lease.
MINE = """
@app.job(result_ttl="1h")
{kind}def mine(n, seconds):
    job = begin()
    {sleep}(seconds)
    for _ in range(250):  # it hears of it within a renewal
        if not job.still_mine():
            break
        {sleep}(0.01)
    trace("mine", job.id, os.getpid(), job.still_mine())
    end(job)
    return os.getpid()
"""


@pytest.mark.parametrize("part", ["whole", "supervisor"])
@pytest.mark.parametrize("kind", ["inline", "threads", "async"])
@pytest.mark.slow
@pytest.mark.fault("G4", "G5", "G6")
def test_a_host_that_is_frozen_is_refused_when_it_thaws(
    field: Field, fault: Fault, kind: str, part: str
) -> None:
    """Its jobs have been taken over: each starts once more, and its late words change nothing.

    When only the supervisor is frozen, nobody renews, and the worker goes on without its lease.
    """
    lease, running = 1.0, 1 if kind == "inline" else 2
    # A loop has room for a sync job as well, which Redis may hand to it while it is frozen.
    slots = running + (kind == "async")
    options = {"threads": ("--threads", "2"), "async": ("--concurrency", "2")}.get(kind, ())
    if kind == "async":
        field.write(SYNC, MINE.format(kind="async ", sleep="await asyncio.sleep"))
    else:
        field.write(SYNC, MINE.format(kind="", sleep="time.sleep"))
    first = start_host(field, "frozen", "--lease", str(lease), *options, processes=1)
    ids = field.put("jobs.mine", [(n, 1.0 if part == "whole" else 4.0) for n in range(running)])
    field.wait_traced("start", running)
    pids = first.pids
    freeze(pids if part == "whole" else pids[:1])
    second = start_host(field, "healthy", "--lease", str(lease), *options, processes=2)
    at = time.monotonic()
    more = field.put("jobs.work", [(n,) for n in range(20)])
    wait_until(
        lambda: all(len(started_in(field, one)) == 2 for one in ids), "all were taken over", 20
    )
    fault.recovery = min(field.started_at(job_id, 2) for job_id in ids) - at
    thaw(pids if part == "whole" else pids[:1])
    field.wait_traced("mine", 2 * running)
    field.wait_over()
    first.child.wait_for_line("lost lease")

    account = field.account([*ids, *more])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert account.succeeded == {*ids, *more}
    assert max(account.starts.values()) == 2
    assert account.duplicated <= slots
    assert fault.recovery <= longest_wait(lease)
    mine = {(rest[0], int(rest[1]) in pids): rest[2] for rest in field.traced("mine")}
    assert mine == {(one, frozen): str(not frozen) for one in ids for frozen in (True, False)}
    for job_id in ids:
        (winner,) = {int(rest[1]) for rest in field.traced("mine") if rest[2] == "True"} & {
            pid for pid in started_in(field, job_id) if pid not in pids
        }
        assert field.app.handle(job_id).result(timeout=1) == winner
    assert field.succeeded() == len(ids) + len(more)
    assert field.dead() == []
    for host in (first, second):
        host.child.terminate()
        assert host.child.wait() == 0


#: A worker that has nothing but coroutines.
ONLY_ASYNC = """
@app.job
async def work(n, seconds=0.0):
    job = current_job()
    trace("start", job.id, job.attempt, os.getpid(), time.monotonic())
    await asyncio.sleep(seconds)
    trace("end", job.id, os.getpid(), time.monotonic())
"""


@pytest.mark.parametrize("kind", ["inline", "threads", "async", "both"])
@pytest.mark.slow
@pytest.mark.fault("G3")
def test_long_jobs_hold_no_others_back(field: Field, fault: Fault, kind: str) -> None:
    """Each slot of all workers has a job at once; those that wait cost next to nothing."""
    slots = 1 if kind == "inline" else 4
    field.write({"async": ONLY_ASYNC, "both": JOBS}.get(kind, SYNC))
    options = {"inline": ()}.get(kind, ("--threads", "4", "--concurrency", "4"))
    name = "jobs.awork" if kind == "both" else "jobs.work"
    start_host(field, "host", *options)
    wait_idle(field, 2)
    quick = field.put(name, [(n,) for n in range(300)])  # the workers learn to take many at once
    field.wait_over()
    began = time.monotonic()
    long = field.put(name, [(n, 4.0) for n in range(2 * slots)])
    behind = field.put(name, [(n,) for n in range(30)])
    wait_until(lambda: set(long) <= set(field.starts()), "all slots are taken", 20)
    fault.recovery = time.monotonic() - began
    if kind != "inline":  # quick ones may have gone first, but must not have been in the way
        assert fault.recovery < 2.0

    def scripts() -> int:
        return int(field.redis.info("commandstats")["cmdstat_evalsha"]["calls"])

    before, at = scripts(), time.monotonic()
    wait_until(lambda: time.monotonic() - at > 1.5, "time has passed")
    rate = (scripts() - before) / (time.monotonic() - at)
    fault.note(f"{rate:.0f} scripts a second")
    assert rate < 60
    field.wait_over()
    account = field.account([*quick, *long, *behind])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert all_once(account, [*quick, *long, *behind])
