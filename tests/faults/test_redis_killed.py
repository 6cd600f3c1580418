"""Redis is killed, frozen, or loads for long, and comes back with all, some or none of its data."""

import os
import signal
import time

import pytest

from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import Field, jobs_of, said, wait_seconds
from tests.scenario.ground import PATIENCE, children
from tests.support.wait import wait_until

KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
MANY = 2000


def kill_and_start(field: Field, fault: Fault, down: float = 0.0) -> None:
    """Kill Redis, let it be away for a while, and note how long the workers need afterwards."""
    field.server.kill()
    if down:
        wait_seconds(down)
    field.server.start()
    seen, began = len(field.traces()), time.monotonic()
    wait_until(lambda: len(field.traces()) > seen or not field.left(), "jobs go on", PATIENCE)
    fault.recovery = max(fault.recovery or 0.0, time.monotonic() - began)


@pytest.mark.fault("G1", "G5", "G14")
@KINDS
@pytest.mark.parametrize("fsync", ["everysec", pytest.param("always", marks=pytest.mark.slow)])
def test_killed_and_back_with_its_aof(
    start_server: StartServer, make_field: MakeField, fault: Fault, fsync: str, kind: str
) -> None:
    """Nothing is lost, and what has finished is not run again."""
    field = make_field(start_server({"appendfsync": fsync}, appendonly=True))
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    worker = field.worker(processes=2)
    field.wait_traced("end", MANY // 10)
    finished = set(field.ends())
    kill_and_start(field, fault)
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    # The kernel has what was written before the kill; outcomes on their way are sent again.
    assert sum(account.starts[job_id] - 1 for job_id in finished) == 0
    assert account.duplicated == 0
    assert field.succeeded() == MANY
    assert said(worker, "lost redis") == said(worker, "found redis again") <= 3
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
def test_killed_five_times_in_a_row(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """Under load of producers too: each call returns, or raises and is made again by its id."""
    field = make_field(start_server({"appendfsync": "everysec"}, appendonly=True))
    field.write(jobs_of("async"))
    ids = field.put("jobs.awork", [(n, 0.05) for n in range(MANY)])
    worker = field.worker("--concurrency", "10", processes=2)
    for n in range(5):
        field.wait_traced("end", (n + 1) * 100)
        kill_and_start(field, fault, down=0.3)
        ids.append(field.send("jobs.awork", n).id)
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert "Traceback" not in worker.text


@pytest.mark.fault("G14")
@KINDS
def test_killed_and_back_without_its_data(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """What waited is lost, as documented; workers make their groups anew and go on at once."""
    field = make_field(start_server())
    field.write(jobs_of(kind))
    gone = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    worker = field.worker(processes=2)
    field.wait_traced("end", 100)
    field.server.kill()
    field.server.start()
    began = time.monotonic()
    ids = field.put("jobs.work", [(n,) for n in range(100)])
    field.wait_over()
    fault.recovery = time.monotonic() - began
    fault.enter(field.account(ids))
    fault.note(f"{len(field.account(gone).lost)} that waited in Redis's memory are gone")
    assert field.account(ids).succeeded == set(ids)
    assert fault.recovery < 10
    assert said(worker, "lost redis") <= 3
    assert said(worker, "made group anew") <= 6
    assert "Traceback" not in worker.text
    assert "worker died" not in worker.text


@pytest.mark.fault("G1", "G5")
@pytest.mark.slow
def test_killed_and_back_with_a_snapshot(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """All that the snapshot knew is done; what finished since then runs again."""
    field = make_field(start_server({"dbfilename": "dump.rdb"}))
    ids = field.put("jobs.work", [(n, 0.005) for n in range(500)])
    field.worker(processes=2)
    field.wait_traced("end", 50)
    field.server.cli("SAVE")
    known = field.account(ids)
    field.wait_traced("end", 150)
    since = field.put("jobs.work", [(n,) for n in range(10)])
    kill_and_start(field, fault)
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.note(f"{len(field.account(since).lost)} of 10 that came after the snapshot are gone")
    assert account.succeeded == set(ids)
    # A worker may also have had outcomes of the snapshot's time on their way.
    assert sum(account.starts[job_id] > 1 for job_id in known.succeeded) <= 4


@pytest.mark.fault("G14")
@pytest.mark.slow
def test_redis_loads_its_data_for_seconds(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """LOADING: workers that start then, and calls, wait until it is done."""
    field = make_field(start_server({"dbfilename": "dump.rdb"}))
    ids = field.put("jobs.work", [(n,) for n in range(20)])
    with field.redis.pipeline(transaction=False) as pipe:
        for n in range(3000):
            pipe.set(f"filler:{n}", "x" * 100, px=600_000)
        pipe.execute()
    field.server.cli("SAVE")
    field.server.kill()
    slowly = {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"}
    # The same folder again, but each key takes a millisecond.
    field.server.configure(slowly)
    field.server.start(wait=False)
    began = time.monotonic()
    worker = field.start("jobq", "worker", "--processes", "2")
    ids.append(field.send("jobs.work", 20).id)
    took = time.monotonic() - began
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.recovery = max(field.started_at(job_id) for job_id in ids) - began
    fault.note(f"a call waited {took:.1f} s")
    assert account.succeeded == set(ids)
    worker.wait_for_line("LOADING")
    assert took > 0.5, "it loaded too fast to prove anything"
    assert "Traceback" not in worker.text


@pytest.mark.fault("G3", "G13")
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, 8.0])
def test_redis_is_frozen_for_longer_than_the_lease(
    field: Field, fault: Fault, seconds: float
) -> None:
    """When it thaws, all leases look expired; their owners renew them before the second look."""
    field.worker("--lease", "2", "--name", "one")
    field.worker("--lease", "2", "--name", "two")
    ids = field.put("jobs.work", [(n, seconds + 4.0) for n in range(2)])
    field.wait_traced("start", 2)
    field.server.pause()
    wait_seconds(seconds)
    field.server.resume()
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0


@pytest.mark.fault("G4", "G5", "G6")
@pytest.mark.slow
def test_worker_and_redis_are_killed_together(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """A rack that loses its power: the leases are in the AOF, and run out."""
    field = make_field(start_server({"appendfsync": "everysec"}, appendonly=True))
    dead = field.worker("--lease", "2", processes=2)
    ids = field.put("jobs.work", [(n, 1.0) for n in range(20)])
    field.wait_traced("start", 4)
    pids = [dead.pid, *children(dead.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    field.server.kill()
    died = time.monotonic()
    before = field.starts()
    field.server.start()
    field.worker("--lease", "2", processes=2)
    running = set(before) - set(field.ends())
    wait_until(
        lambda: all(field.starts()[job_id] > 1 for job_id in running), "they start again", PATIENCE
    )
    fault.recovery = max(field.started_at(job_id, 2) for job_id in running) - died
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated <= 2
    assert fault.recovery < 2 + 2 * 2 / 3 + 2.5
