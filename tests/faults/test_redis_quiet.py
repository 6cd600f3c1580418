"""While Redis is away, or refuses, nobody spins: processor, commands, connections, log lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from jobq.store import keys
from tests.faults.conftest import Fault
from tests.faults.field import Field, jobs_of, wait_seconds
from tests.scenario.ground import PATIENCE, children, cpu_seconds
from tests.support.meanwhile import meanwhile
from tests.support.proxy import Proxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells it"),
]

#: What a process may use of a core, and how many commands and connections it may try in a second.
CPU, COMMANDS, KNOCKS = 0.05, 40, 2
SECONDS = 6.0
QUEUE = "default"


@contextmanager
def away(_field: Field, proxy: Proxy) -> Iterator[None]:
    proxy.refuse()
    yield
    proxy.accept()


@contextmanager
def black_hole(_field: Field, proxy: Proxy) -> Iterator[None]:
    proxy.black_hole()
    yield
    proxy.restore()
    proxy.cut()


@contextmanager
def read_only(field: Field, _proxy: Proxy) -> Iterator[None]:
    field.server.cli("REPLICAOF", "127.0.0.1", "1")
    yield
    field.server.cli("REPLICAOF", "NO", "ONE")


@contextmanager
def full(field: Field, _proxy: Proxy) -> Iterator[None]:
    field.redis.config_set("maxmemory", "1")
    yield
    field.redis.config_set("maxmemory", "0")


@contextmanager
def wrong_type(field: Field, _proxy: Proxy) -> Iterator[None]:
    field.redis.rename(keys.jobs(QUEUE), "kept")
    field.redis.set(keys.jobs(QUEUE), "")
    yield
    field.redis.delete(keys.jobs(QUEUE))
    field.redis.rename("kept", keys.jobs(QUEUE))


@contextmanager
def no_group(field: Field, _proxy: Proxy) -> Iterator[None]:
    def destroy() -> None:
        for stream in (keys.jobs(QUEUE), keys.retries(QUEUE)):
            try:
                field.redis.xgroup_destroy(stream, "jobq")
            except ResponseError:  # it has not been made anew yet
                continue

    with meanwhile(destroy, lambda: 0.02):
        yield


@contextmanager
def nothing(_field: Field, _proxy: Proxy) -> Iterator[None]:
    yield


TROUBLES: dict[str, Callable[[Field, Proxy], AbstractContextManager[None]]] = {
    "nothing": nothing,
    "away": away,
    "black hole": black_hole,
    "read-only": read_only,
    "full": full,
    "wrong type": wrong_type,
    "no group": no_group,
}


def commands(field: Field) -> int:
    """Count the commands of jobq: EVALSHA is one, whatever its script does."""
    stats = field.redis.info("commandstats")
    words = ("evalsha", "eval", "xreadgroup", "client|id", "client|unblock", "hello", "zrange")
    return sum(int(row["calls"]) for name, row in stats.items() if name[8:] in words)


@pytest.mark.fault("G14")
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_nobody_spins(field: Field, proxy: Proxy, fault: Fault, trouble: str, kind: str) -> None:
    field.url = proxy.url
    field.write(jobs_of(kind))
    worker = field.worker(processes=2)
    field.put("jobs.work", [(n,) for n in range(10)])
    field.wait_over()
    pids = [worker.pid, *children(worker.pid)]
    with TROUBLES[trouble](field, proxy):
        wait_seconds(1)  # until everybody has noticed
        lines, sent, knocks = len(worker.lines), commands(field), proxy.knocks
        used = [cpu_seconds(pid) for pid in pids]
        began = time.monotonic()
        wait_seconds(SECONDS)
        took = time.monotonic() - began
        cpu = [(cpu_seconds(pid) - was) / took for pid, was in zip(pids, used, strict=True)]
        rate = (commands(field) - sent) / took / len(pids)
        knocked = (proxy.knocks - knocks) / took / len(pids)
        told = len(worker.lines) - lines
    began = time.monotonic()
    ids = field.put("jobs.work", [(n,) for n in range(10)])
    field.wait_over(timeout=PATIENCE)
    fault.recovery = time.monotonic() - began
    fault.enter(field.account(ids))
    fault.note(
        f"a process: {100 * max(cpu):.0f} % of a core, {rate:.0f} commands/s, "
        f"{knocked:.1f} connections/s; {told} lines"
    )
    assert field.account(ids).succeeded == set(ids)
    assert max(cpu) <= CPU
    assert rate <= (COMMANDS if trouble != "no group" else 2 * COMMANDS)
    assert knocked <= KNOCKS
    # A group that is destroyed 50 times a second is a change of state each time it is made anew.
    assert told <= (3 * len(pids) if trouble != "no group" else 60 * SECONDS)
    assert fault.recovery < 12
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text
