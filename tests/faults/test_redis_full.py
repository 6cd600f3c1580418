"""Redis has no memory left: what runs can end, nothing is added, and everybody is told."""

import time

import pytest

from jobq.core.job import JobState
from jobq.errors import StoreFull
from jobq.store import keys
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import Field, jobs_of, said, wait_seconds
from tests.scenario.ground import PATIENCE
from tests.support.wait import wait_until

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])

ENDS = """
@app.job(backoff=0.05, retries=3)
{kind} ends(how):
    job = begin()
    {nap}
    if how == "retry" and job.attempt < 3:
        raise ValueError("again")
    if how == "bury":
        raise Dead("gone")
    end(job)
    return "x" * 1000
"""


def fill(field: Field) -> None:
    field.redis.config_set("maxmemory", "1")


def ends_of(kind: str) -> str:
    if kind == "sync":
        return ENDS.format(kind="def", nap="time.sleep(0.5)")
    return ENDS.format(kind="async def", nap="await asyncio.sleep(0.5)")


@pytest.mark.fault("G1", "G10", "G14")
@KINDS
def test_a_full_redis_takes_no_job_and_lets_all_others_end(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """Jobs that run succeed, are retried and buried; `send` raises `StoreFull` and adds nothing."""
    field = make_field(start_server())
    field.write(jobs_of(kind), ends_of(kind))
    worker = field.worker(processes=3)
    ids = field.put("jobs.ends", [("succeed",), ("retry",), ("bury",)])
    field.wait_traced("start", 3)
    fill(field)
    before = field.redis.xlen(keys.jobs("default")), field.left()
    with pytest.raises(StoreFull):
        field.send("jobs.work", 1)
    with pytest.raises(StoreFull):
        field.app.options(job_id="mine").send("jobs.work", 1)
    assert field.redis.xlen(keys.jobs("default")) <= before[0]
    assert field.left() <= before[1]
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 2  # the two attempts that were asked for
    assert account.succeeded == {ids[0], ids[1]}
    assert account.dead == {ids[2]}
    assert [account.starts[job_id] for job_id in ids] == [1, 3, 1]
    assert field.app.handle(ids[1], "default").result(timeout=5) == "x" * 1000
    field.redis.config_set("maxmemory", "0")
    began = time.monotonic()
    late = field.send("jobs.work", 1)
    assert late.result(timeout=10) == 1
    fault.recovery = time.monotonic() - began
    assert said(worker, "worker died") == 0
    assert "Traceback" not in worker.text.replace("Traceback (most recent call last)", "")


@pytest.mark.fault("G14")
@pytest.mark.slow
@BOTH
def test_workers_start_on_a_full_redis_and_drain_it(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    field = make_field(start_server())
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n,) for n in range(100)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(10)])
    fill(field)
    began = time.monotonic()
    field.worker(processes=2)
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 10  # the retries that were asked for
    fault.recovery = time.monotonic() - began
    assert account.succeeded == set(ids)
    assert fault.duplicated == 0


@pytest.mark.fault("G14")
def test_a_job_is_cancelled_on_a_full_redis(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    field = make_field(start_server())
    (job_id,) = field.put("jobs.work", [(1,)])
    waiting = field.app.handle(job_id, "default")
    fill(field)
    assert waiting.cancel()
    assert waiting.status() is JobState.CANCELLED
    assert field.left() == 0
    fault.lost = fault.duplicated = 0


@pytest.mark.fault("G4", "G14")
@pytest.mark.slow
@KINDS
def test_dead_workers_are_recovered_on_a_full_redis(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    field = make_field(start_server())
    field.write(jobs_of(kind))
    dead = field.worker("--lease", "2")
    ids = field.put("jobs.work", [(n, 0.5) for n in range(4)])
    field.wait_traced("start", 1)
    fill(field)
    died = time.monotonic()
    dead.kill_group()
    first = {rest[0] for rest in field.traced("start")} - set(field.ends())
    field.worker("--lease", "2")
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.recovery = max(field.started_at(job_id, 2) for job_id in first) - died
    assert account.succeeded == set(ids)
    assert account.duplicated == len(first)
    # With a start of Python, and jobs of half a second before it in the line.
    assert fault.recovery < 2 + 2 * 2 / 3 + 4


@pytest.mark.fault("G14")
@pytest.mark.slow
def test_a_redis_that_is_full_for_seconds_is_said_once(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """And nobody spins on it."""
    field = make_field(start_server())
    worker = field.worker(processes=2)
    field.put("jobs.work", [(n,) for n in range(100)])
    field.wait_over()
    fill(field)
    seen = len(worker.lines)
    wait_seconds(5)
    told = len(worker.lines) - seen
    fault.note(f"{told} lines in 5 s")
    assert told <= 3
    field.redis.config_set("maxmemory", "0")
    began = time.monotonic()
    ids = field.put("jobs.work", [(n,) for n in range(100)])
    field.wait_over()
    fault.recovery = time.monotonic() - began
    fault.enter(field.account(ids))
    assert field.account(ids).succeeded == set(ids)


@pytest.mark.fault("G1")
@pytest.mark.slow
def test_workers_warn_of_a_redis_that_evicts(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """A policy that may throw jobs away is told by name, with its cure, once for each worker."""
    field = make_field(start_server({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}))
    worker = field.worker(processes=2)
    worker.wait_for_line(r"allkeys-lru.*maxmemory-policy noeviction", 5)
    assert said(worker, "noeviction") == 1
    (job_id,) = field.put("jobs.work", [(1,)])
    wait_until(lambda: job_id in field.ends(), "jobs run all the same", PATIENCE)
    fault.lost = fault.duplicated = 0
