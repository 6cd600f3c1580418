"""Three lines of one queue, when workers, hosts, groups and Redis are lost."""

import os
import signal
import statistics
import time
from itertools import count

import pytest

from jobq.store import keys
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import Field, jobs_of, wait_seconds
from tests.faults.hosts import Host, start_hosts, wait_gone
from tests.scenario.ground import PATIENCE
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
MANY = 1000
LINES = ("default low", "default", "default high")
LEASE = 1.0


def put_all(field: Field, seconds: float) -> dict[str, list[str]]:
    """Enqueue as many jobs in each line, the low ones first; returns their ids."""
    return {
        line: field.put("jobs.work", [(n, seconds) for n in range(MANY)], line) for line in LINES
    }


def flat(ids: dict[str, list[str]]) -> list[str]:
    return [job_id for line in LINES for job_id in ids[line]]


def middle(field: Field, ids: list[str]) -> float:
    """Return where in the order of all first starts the median of these jobs is."""
    place = {job_id: number for number, job_id in enumerate(field.starts())}
    return statistics.median(place[job_id] for job_id in ids)


def assert_in_order(field: Field, ids: dict[str, list[str]]) -> None:
    """See that high jobs went before normal ones, and those before low ones, on the whole."""
    low, normal, high = (middle(field, ids[line]) for line in LINES)
    assert high < MANY < normal < 2 * MANY < low


@pytest.mark.timeout(120)
@pytest.mark.fault("G1", "G4", "G5", "G9")
@KINDS
def test_workers_and_hosts_are_killed(field: Field, fault: Fault, kind: str) -> None:
    """In the middle of their batches, of each line: none is lost, and the order holds."""
    field.write(jobs_of(kind))
    numbers = count(1)
    options = ("--lease", str(LEASE), *(("--concurrency", "2") if kind == "async" else ()))

    def fresh(many: int) -> list[Host]:
        return start_hosts(field, [f"host{next(numbers)}" for _ in range(many)], *options)

    hosts = fresh(3)
    ids = put_all(field, 0.02)
    slots = 0
    for done in (300, 700, 1200, 1700, 2200, 2700):
        field.wait_traced("end", done, 60)
        host = hosts.pop(0)
        if done in {700, 1700, 2700}:
            pids = host.pids
            slots += len(host.workers)
            host.child.kill_group()
            wait_gone(pids)
            hosts += fresh(1)
        else:
            os.kill(host.workers[0], signal.SIGKILL)
            slots += 1
            hosts.append(host)
    field.wait_over(timeout=60)
    account = field.account(flat(ids))
    fault.enter(account)
    fault.note(f"{slots} workers killed")
    assert account.succeeded == set(flat(ids))
    assert not account.dead
    assert account.duplicated <= slots * (2 if kind == "async" else 1)
    assert field.succeeded() == 3 * MANY
    assert_in_order(field, ids)


@pytest.mark.fault("G1", "G5", "G14")
@KINDS
@pytest.mark.parametrize("line", ["default high", "default low"])
def test_the_group_of_a_line_is_destroyed(field: Field, fault: Fault, kind: str, line: str) -> None:
    """It is made anew at once; what has finished is not run again, nor is what others hold."""
    field.write(jobs_of(kind))
    ids = put_all(field, 0.001)
    worker = field.worker(processes=2)
    after = 100 if line == "default high" else 2 * MANY + 200
    field.wait_traced("end", after, 60)
    settled = set(flat(ids)) - field.account(flat(ids)).live
    field.redis.xgroup_destroy(keys.jobs(line), keys.GROUP)
    began = time.monotonic()
    wait_until(lambda: field.redis.xinfo_groups(keys.jobs(line)), "the group is back")
    fault.recovery = time.monotonic() - began
    field.wait_over()
    account = field.account(flat(ids))
    fault.enter(account)
    again = [job_id for job_id in settled if account.starts[job_id] > 1]
    fault.note(f"{len(settled)} had finished: {len(again)} of them run again")
    twice = {job_id for job_id, many in account.starts.items() if many > 1}
    assert account.succeeded == set(flat(ids))
    assert not again
    assert twice <= set(ids[line]), "those of other lines are not concerned"
    assert account.duplicated <= 2 * 512  # what the workers held
    assert fault.recovery < 2
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G5", "G14")
@KINDS
def test_redis_is_killed_in_each_line(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """It comes back with its AOF: nothing is lost, nothing runs twice, and the order holds."""
    field = make_field(start_server(appendonly=True))
    field.write(jobs_of(kind))
    ids = put_all(field, 0.001)
    worker = field.worker(processes=2)
    for done in (300, 1300, 2300):
        field.wait_traced("end", done)
        field.server.kill()
        wait_seconds(0.2)
        field.server.start()
        seen, began = len(field.traces()), time.monotonic()
        wait_until(lambda: len(field.traces()) > seen, "jobs go on", PATIENCE)  # noqa: B023
        fault.recovery = max(fault.recovery or 0.0, time.monotonic() - began)
    field.wait_over()
    account = field.account(flat(ids))
    fault.enter(account)
    assert account.succeeded == set(flat(ids))
    assert account.duplicated == 0
    assert field.succeeded() == 3 * MANY
    assert_in_order(field, ids)
    assert "Traceback" not in worker.text
