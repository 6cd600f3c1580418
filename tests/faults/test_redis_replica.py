"""Replication: a master that turns replica and back, and failover to one that lags."""

import socket
import time

import pytest

from jobq.errors import StoreReadOnly
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import Field, jobs_of, said, wait_seconds
from tests.support.process import Child
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import wait_until

KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def demote(server: Server) -> None:
    server.cli("REPLICAOF", "127.0.0.1", "1")  # where nobody is


def promote(server: Server) -> None:
    server.cli("REPLICAOF", "NO", "ONE")


def finish(field: Field, fault: Fault, ids: list[str]) -> None:
    """Wait until all is over since the promotion, and count."""
    began = time.monotonic()
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)


def check_quiet_until_promoted(field: Field, fault: Fault, worker: Child, ids: list[str]) -> None:
    """Workers say little while they wait; when the master is back, nothing is lost or repeated."""
    seen = len(worker.lines)
    wait_seconds(4)
    told = len(worker.lines) - seen
    promote(field.server)
    finish(field, fault, ids)
    fault.note(f"{told} lines in 4 s")
    assert fault.duplicated == 0
    assert told <= 6
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
@KINDS
def test_a_master_turns_replica_and_back_under_load(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """READONLY: outcomes are kept, workers wait, one line each; then all goes on."""
    field = make_field(start_server())
    field.write(jobs_of(kind))
    worker = field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.005) for n in range(1000)])
    field.wait_traced("end", 100)
    demote(field.server)
    worker.wait_for_line("READONLY|read-only")
    with pytest.raises(StoreReadOnly):
        field.send("jobs.work", 1)
    check_quiet_until_promoted(field, fault, worker, ids)


@pytest.mark.fault("G14")
@pytest.mark.slow
@KINDS
def test_a_master_turns_replica_while_workers_wait(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """UNBLOCKED ends the reads that wait; the first job afterwards is taken at once."""
    field = make_field(start_server())
    field.write(jobs_of(kind))
    worker = field.worker(processes=2)
    field.put("jobs.work", [(-1,)])
    field.wait_over()
    for _ in range(3):
        demote(field.server)
        wait_seconds(0.5)
        promote(field.server)
    wait_until(lambda: field.server.cli("ROLE")[0] == b"master", "it is a master again")
    ids = field.put("jobs.work", [(n,) for n in range(10)])
    finish(field, fault, ids)
    assert fault.duplicated == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G14")
@pytest.mark.slow
def test_a_replica_that_does_not_serve_what_is_stale(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """MASTERDOWN is told by name, and waited out."""
    field = make_field(start_server({"replica-serve-stale-data": "no"}))
    worker = field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.005) for n in range(500)])
    field.wait_traced("end", 50)
    demote(field.server)
    worker.wait_for_line("MASTERDOWN")
    check_quiet_until_promoted(field, fault, worker, ids)


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_failover_to_a_replica_that_lags(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """As documented: what had not been replicated is gone, and what finished since runs again."""
    port = free_port()
    master = start_server({"port": str(port), "repl-diskless-sync-delay": "0"})
    with Proxy(f"redis://127.0.0.1:{port}") as wire, Proxy(master.url) as line:
        replica = start_server()
        replica.cli("REPLICAOF", "127.0.0.1", wire.url.rpartition(":")[2])
        wait_until(lambda: replica.cli("ROLE")[3] == b"connected", "the replica is there", 20)
        before = make_field(master, line.url)
        before.write(jobs_of(kind))
        worker = before.worker("--lease", "2", "--concurrency", "4", processes=2)
        ids = before.put("jobs.awork", [(n, 0.05) for n in range(300)])
        before.wait_traced("end", 4)
        master.cli("SET", "mark", "", "PX", 600_000)  # WAIT is about what this client wrote last
        wait_until(lambda: master.cli("WAIT", 1, 1000) == 1, "the replica has it all", 20)
        replicated = set(ids)
        wire.black_hole()  # from here on it lags
        seen = len(before.traced("end"))
        lost = before.put("jobs.awork", [(n, 0.05) for n in range(10)])
        before.wait_traced("end", seen + 4)
        line.refuse()
        master.kill()
        promote(replica)
        line.point_to(replica.url)
        line.accept()
        began = time.monotonic()
        after = make_field(replica)
        after.programs = before.programs
        after.wait_over()
        fault.recovery = time.monotonic() - began
        account = after.account(replicated)
        fault.enter(account)
        gone = after.account(lost).lost
        fault.note(f"{len(gone)} of 10 that had not been replicated are gone")
        assert account.succeeded == replicated
        assert not account.lost
        assert said(worker, "worker died") == 0
        assert "Traceback" not in worker.text
