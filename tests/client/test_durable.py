"""Waiting until a call is on replicas or on disk, before it counts as enqueued."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobq import JobQ
from jobq.client import durable
from jobq.core.checks import Durability
from jobq.errors import NotConfirmed, OptionError
from tests.conftest import StartServer
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import wait_until


def add(a: int, b: int) -> int:
    return a + b


@contextmanager
def replica_of(master: Server, start_server: StartServer) -> Iterator[Server]:
    """A replica that has caught up."""
    with Proxy(master.url) as wire:  # replicas connect by TCP only
        replica = start_server()
        replica.cli("REPLICAOF", "127.0.0.1", wire.url.rpartition(":")[2])
        wait_until(lambda: replica.cli("ROLE")[3] == b"connected", "the replica is there", 20)
        yield replica


def jobs_on(server: Server) -> int:
    return int(str(server.cli("HLEN", "jobq:{default}:index")))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "TIMEOUT", 0.2)


async def test_a_call_is_on_the_replica_when_delay_returns(start_server: StartServer) -> None:
    master = start_server()
    with replica_of(master, start_server) as replica, JobQ(master.url, wait_replicas=1) as app:
        function = app.job(add)
        function.delay(1, 2)
        assert jobs_on(replica) == 1
        await asyncio.gather(*(function.adelay(1, at) for at in range(20)))
        assert jobs_on(replica) == 21
        function.map([(1, at) for at in range(100)])
        assert jobs_on(replica) == 121
        await function.amap([(1, at) for at in range(10)])
        assert jobs_on(replica) == 131
        app.send("somewhere.else", 1)
        assert jobs_on(replica) == 132
        await app.aclose()


@pytest.mark.usefixtures("impatient")
async def test_without_a_replica_it_says_that_the_job_is_there(redis_url: str) -> None:
    async with JobQ(redis_url) as app:
        function = app.job(add)
        function.delay(1, 2)  # nobody waits
        waiting = function.options(wait_replicas=1)
        with pytest.raises(NotConfirmed, match="is in Redis, but on 0 of 1 replicas after") as one:
            waiting.delay(1, 2)
        assert app.handle(*one.value.job_ids).status() == "ready"
        with pytest.raises(NotConfirmed, match="replicas"):
            await waiting.adelay(1, 2)
        with pytest.raises(NotConfirmed, match="3 jobs are in Redis"):
            waiting.map([(1, 2), (3, 4), (5, 6)])
        with pytest.raises(NotConfirmed, match="2 jobs are in Redis"):
            await waiting.amap([(1, 2), (3, 4)])
        assert waiting.map([]) == []
        assert waiting.options(wait_replicas=0).delay(1, 2).status() == "ready"


def knows_waitaof(server: Server) -> bool:
    return bool(server.cli("COMMAND", "INFO", "WAITAOF")[0])


@pytest.mark.usefixtures("impatient")
def test_fsync_waits_for_the_disk(start_server: StartServer) -> None:
    server = start_server({"appendfsync": "always"}, appendonly=True)
    with JobQ(server.url, fsync=True) as app:
        function = app.job(add)
        if knows_waitaof(server):
            function.delay(1, 2)
        else:
            with pytest.raises(NotConfirmed, match=r"needs Redis 7\.2"):
                function.delay(1, 2)
        assert jobs_on(server) == 1


@pytest.mark.usefixtures("impatient")
def test_fsync_without_a_file_says_so(redis_url: str, server: Server) -> None:
    with JobQ(redis_url) as app, pytest.raises(NotConfirmed) as refused:
        app.job(add).options(fsync=True).delay(1, 2)
    if knows_waitaof(server):
        assert "appendonly" in str(refused.value)


@pytest.mark.slow
def test_a_cut_while_it_waits_is_waited_over(start_server: StartServer) -> None:
    master = start_server()
    with (
        replica_of(master, start_server) as replica,
        Proxy(master.url) as line,
        JobQ(line.url, wait_replicas=1) as app,
    ):
        function = app.job(add)
        function.delay(1, 2)
        fault = line.cut_after_request("WAIT")
        function.delay(1, 2)
        fault.wait()
        assert jobs_on(replica) == 2


def test_another_redis_behind_the_same_address_confirms_nothing(
    proxy: Proxy, server: Server
) -> None:
    """A failover to a replica that never had the job; the new master has all it was asked for."""
    with JobQ(proxy.url) as app:
        handle = app.job(add).delay(1, 2)
        proxy.cut_before_request("HINCRBY")
        durable.confirm(app.store, "default", (handle.id,), Durability())
        server.cli("FLUSHALL")
        proxy.cut_before_request("HINCRBY")
        with pytest.raises(NotConfirmed, match="not found there"):
            durable.confirm(app.store, "default", (handle.id,), Durability())


@pytest.mark.usefixtures("impatient")
def test_a_redis_that_is_gone_while_it_waits_leaves_the_job(proxy: Proxy, server: Server) -> None:
    with JobQ(proxy.url) as app:
        function = app.job(add)
        function.delay(1, 2)
        for _ in range(20):  # at each attempt
            proxy.cut_before_request("HINCRBY")
        with pytest.raises(NotConfirmed, match="the connection was lost"):
            function.options(fsync=True).delay(1, 2)
        assert jobs_on(server) == 2


@pytest.mark.parametrize(
    "given", [{"wait_replicas": -1}, {"wait_replicas": True}, {"wait_replicas": "1"}, {"fsync": 1}]
)
def test_what_they_can_be(given: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(given))):
        JobQ(**given)  # type: ignore[arg-type]
