"""Hosts for the faults: supervisors with their workers that are killed, frozen and replaced."""

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.faults.field import Account, Field
from tests.scenario.ground import PATIENCE, alive, children
from tests.support.process import Child
from tests.support.wait import wait_until

#: Scans of a supervisor in a lease; what is lost is found at the second one after it.
SCANS: Final = 3

#: Seconds that the start of a process and of a job may take on a busy machine.
SLACK: Final = 1.0


def longest_wait(lease: float) -> float:
    """Return the seconds in which what a lost host held must have started again (G4)."""
    return lease + 2 * lease / SCANS + SLACK


@dataclass
class Host:
    """A supervisor and its workers, which live and die together.

    Attributes:
        name: what its consumers' names begin with.
        child: the supervisor.
    """

    name: str
    child: Child

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return children(self.child.pid)

    @property
    def pids(self) -> list[int]:
        """Its process ids, the supervisor first."""
        return [self.child.pid, *self.workers]


def start_host(field: Field, name: str, *options: str, processes: int = 2) -> Host:
    """Start a host and wait until all of its workers are there."""
    (host,) = start_hosts(field, [name], *options, processes=processes)
    return host


def start_hosts(
    field: Field, names: Iterable[str], *options: str, processes: int = 2
) -> list[Host]:
    """Start several hosts at once and wait until all of their workers are there."""
    words = ("jobq", "worker", "--processes", str(processes), *options)
    hosts = [Host(name, field.start(*words, "--name", name)) for name in names]
    for host in hosts:
        wait_until(
            lambda: len(host.workers) >= processes,  # noqa: B023  asked before the next round
            f"{host.name} has its workers",
            PATIENCE,
        )
    return hosts


def wait_idle(field: Field, many: int) -> None:
    """Wait until so many workers wait for jobs."""

    def are_waiting() -> bool:
        listed: bytes = field.server.cli("CLIENT", "LIST")
        return listed.count(b" cmd=xreadgroup ") >= many

    wait_until(are_waiting, f"{many} workers wait for jobs", PATIENCE)


def freeze(pids: Iterable[int]) -> None:
    """Stop processes for a while, as a host does that swaps or that is suspended."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(pids: Iterable[int]) -> None:
    """Let frozen processes go on: the last one first, so that workers speak before supervisors."""
    for pid in reversed(list(pids)):
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Kill:
    """A kill: when (monotonic seconds), and the ids of the jobs that the dead had in hand."""

    at: float
    held: frozenset[str]


@dataclass
class Deaths:
    """The book of all kills in a test.

    Attributes:
        where: the field of the test.
        workers: how many worker processes were killed.
    """

    where: Field
    workers: int = 0
    kills: list[Kill] = field(default_factory=list)

    def kill(self, hosts: Iterable[Host]) -> None:
        """Kill hosts with all of their processes at once, as when the power goes."""
        hosts = list(hosts)
        pids = [pid for host in hosts for pid in host.pids]
        at = time.monotonic()
        for host in hosts:
            host.child.kill_group()
        wait_gone(pids)
        self.workers += len(pids) - len(hosts)
        self.kills.append(Kill(at, held_by(self.where, *(host.name for host in hosts))))

    def recoveries(self) -> list[float]:
        """Return the seconds that each job that was held had to wait for its next start."""
        by_id = defaultdict(list)
        for job_id, _, _, at in self.where.traced("start"):
            by_id[job_id].append(float(at))
        waited = []
        for number, kill in enumerate(self.kills):
            for job_id in kill.held:
                again = min((at for at in by_id[job_id] if at > kill.at), default=None)
                if again is None:
                    continue  # its outcome was on the way when its worker died
                if any(job_id in new.held and new.at < again for new in self.kills[number + 1 :]):
                    continue  # whoever had taken it over died as well: counted from there
                waited.append(again - kill.at)
        return waited


def held_by(field: Field, *names: str) -> frozenset[str]:
    """Return the ids of the jobs that are pending for the workers of some hosts."""
    held = set()
    for stream in ("jobs", "retries"):
        for entry, consumer, *_ in field.pending(stream):
            if consumer.decode().partition("#")[0] in names:
                rows = field.server.cli("XRANGE", f"jobq:{{default}}:{stream}", entry, entry)
                held |= {fields[0].decode() for _, fields in rows}
    return frozenset(held)


def charged(child: Child) -> int:
    """Return how many jobs a supervisor has charged with a crash, as it says."""
    found = (re.search(r"recovered jobs .* charged=(\d+)", line) for line in list(child.lines))
    return sum(int(match[1]) for match in found if match)


def wait_gone(pids: Iterable[int], timeout: float = PATIENCE) -> None:
    """Wait until all of these processes have ended."""
    pids = list(pids)
    wait_until(lambda: not any(map(alive, pids)), f"the processes {pids} have ended", timeout)


def started_in(field: Field, job_id: str) -> list[int]:
    """Return the process ids in which a job was started so far."""
    return [int(rest[2]) for rest in field.traced("start") if rest[0] == job_id]


def all_once(account: Account, ids: Iterable[str]) -> bool:
    """Tell whether each of these jobs was started once and came to its end once."""
    return all(account.starts[job_id] == account.ends[job_id] == 1 for job_id in ids)
