"""The clock of Redis is moved, forward and back, while leases and retries hang on it."""

import time

import pytest

from tests.faults.conftest import Fault
from tests.faults.field import Field, jobs_of, wait_seconds
from tests.scenario.ground import PATIENCE
from tests.support.clock import Clock
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])

LATER = """
@app.job(backoff=20, retries=3)
def later(n):
    job = begin()
    if job.attempt == 1:
        raise ValueError("in 20 seconds")
    end(job)
"""


@pytest.mark.fault("G3", "G5", "G13")
@KINDS
@pytest.mark.parametrize("step", [60, -3600])
def test_jobs_that_run_are_not_started_twice(
    clock: tuple[Clock, Field], fault: Fault, step: int, kind: str
) -> None:
    """A step of a minute makes all leases look expired: for one look, not for two."""
    moved, field = clock
    field.write(jobs_of(kind))
    field.worker("--lease", "2", "--name", "one", processes=2)
    field.worker("--lease", "2", "--name", "two", processes=2)
    ids = field.put("jobs.work", [(n, 9.0) for n in range(4)])
    field.wait_traced("start", 4)
    for n in (1, 2):
        moved.move(n * step)
        moved.wait(n * step)
        wait_seconds(3)
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0


@pytest.mark.fault("G10", "G13")
def test_a_step_forward_makes_retries_early_by_the_step(
    clock: tuple[Clock, Field], fault: Fault
) -> None:
    moved, field = clock
    field.write(jobs_of("sync"), LATER)
    field.worker()
    ids = field.put("jobs.later", [(n,) for n in range(10)])
    field.wait_traced("start", 10)
    failed = time.monotonic()
    wait_until(lambda: field.redis.zcard("jobq:{default}:due") == 10, "they wait", PATIENCE)
    wait_seconds(1)
    assert field.starts().total() == 10, "not before their time"
    moved.move(15)
    field.wait_over()
    waited = [field.started_at(job_id, 2) - failed for job_id in ids]
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 10  # the retries that were asked for
    fault.note(f"after {min(waited):.1f} to {max(waited):.1f} s instead of 20")
    assert account.succeeded == set(ids)
    # A backoff has a jitter, which makes it shorter.
    assert max(waited) < 20 - 15 + 3


@pytest.mark.fault("G10", "G13")
def test_a_step_back_makes_retries_late_and_loses_none(
    clock: tuple[Clock, Field], fault: Fault
) -> None:
    """Those that wait are late by the step; those that fail afterwards are not."""
    moved, field = clock
    field.write(jobs_of("sync"), LATER)
    field.worker()
    late = field.put("jobs.later", [(n,) for n in range(10)])
    wait_until(lambda: field.redis.zcard("jobq:{default}:due") == 10, "they wait", PATIENCE)
    moved.move(-3600)
    began = time.monotonic()
    soon = field.put("jobs.fails_once", [(n,) for n in range(10)])
    wait_until(lambda: set(soon) <= set(field.ends()), "new retries are on time", PATIENCE)
    fault.recovery = time.monotonic() - began
    assert not set(late) & set(field.ends())
    moved.move(30)
    field.wait_over()
    account = field.account(late + soon)
    fault.enter(account)
    fault.duplicated = account.duplicated - 20  # the retries that were asked for
    assert account.succeeded == {*late, *soon}
    assert fault.duplicated == 0
    assert fault.recovery < 3


@pytest.mark.fault("G4", "G13")
@pytest.mark.parametrize("step", [60, -5])
def test_a_step_delays_recovery_by_no_more_than_itself(
    clock: tuple[Clock, Field], fault: Fault, step: int
) -> None:
    moved, field = clock
    dead = field.worker("--lease", "2")
    (job_id,) = field.put("jobs.work", [(1, 3.0)])
    field.wait_traced("start")
    field.worker("--lease", "2")
    dead.kill_group()
    died = time.monotonic()
    moved.move(step)
    field.wait_over()
    fault.recovery = field.started_at(job_id, 2) - died
    account = field.account([job_id])
    fault.enter(account)
    assert account.succeeded == {job_id}
    assert account.starts[job_id] == 2
    assert fault.recovery < 2 + 2 * 2 / 3 + 1.5 + max(0, -step)


@pytest.mark.fault("G1", "G2", "G13")
@KINDS
def test_jobs_are_done_while_the_clock_jumps(
    clock: tuple[Clock, Field], fault: Fault, kind: str
) -> None:
    """Calls and jobs, with a step every half second: none is lost, none runs twice."""
    moved, field = clock
    field.write(jobs_of(kind))
    field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.002) for n in range(1000)])
    for step in (60, -60, 3600, 0, -3600, 7200, 1):
        moved.move(step)
        ids += [field.send("jobs.work", n, 0.002).id for n in range(100)]
        wait_seconds(0.5)
    began = time.monotonic()
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert len(account.starts) == len(ids)
