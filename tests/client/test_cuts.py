"""One `delay()` is one job, however often the connection dies."""

import asyncio
from collections.abc import Callable

import pytest

from jobq import JobQ
from jobq.errors import DuplicateJob
from tests.client.hand import Hand
from tests.support.proxy import Fault, Proxy
from tests.support.server import Server

Break = Callable[[Proxy], Fault]

#: Every way in which a connection dies around an enqueue.
CUTS = pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda proxy: proxy.cut_after_request("EVALSHA"), id="after"),
        pytest.param(lambda proxy: proxy.cut_before_request("EVALSHA"), id="before"),
    ],
)


def work(number: int) -> int:
    return number


def entries(server: Server) -> list[bytes]:
    return [row[1][0] for row in server.cli("XRANGE", "jobq:{default}:jobs", "-", "+")]


@CUTS
def test_delay(far: JobQ, proxy: Proxy, server: Server, cut: Break) -> None:
    working = far.job(work, name="work")
    first = working.delay(0)
    fault = cut(proxy)
    second = working.delay(1)
    fault.wait()
    third = working.delay(2)
    assert entries(server) == [one.id.encode() for one in (first, second, third)]


@CUTS
def test_delay_to_a_server_that_does_not_know_the_script(
    far: JobQ, proxy: Proxy, server: Server, cut: Break
) -> None:
    server.cli("SCRIPT", "FLUSH")
    working = far.job(work, name="work")
    fault = cut(proxy)
    handle = working.delay(1)
    fault.wait()
    assert entries(server) == [handle.id.encode()]


@pytest.mark.parametrize("skip", [0, 1])
def test_delay_while_the_script_is_being_taught(
    far: JobQ, proxy: Proxy, server: Server, skip: int
) -> None:
    server.cli("SCRIPT", "FLUSH")
    working = far.job(work, name="work")
    fault = proxy.cut_after_request("EVALSHA", skip=skip)
    handle = working.delay(1)
    fault.wait()
    assert entries(server) == [handle.id.encode()]


@CUTS
def test_delay_with_an_id_of_ones_own(far: JobQ, proxy: Proxy, server: Server, cut: Break) -> None:
    working = far.job(work, name="work")
    working.options(job_id="zero").delay(0)
    fault = cut(proxy)
    working.options(job_id="one").delay(1)
    fault.wait()
    with pytest.raises(DuplicateJob):
        working.options(job_id="one").delay(1)
    assert entries(server) == [b"zero", b"one"]


@CUTS
async def test_fifty_adelay_at_once(far: JobQ, proxy: Proxy, server: Server, cut: Break) -> None:
    working = far.job(work, name="work")
    async with far:
        await working.adelay(0)
        fault = cut(proxy)
        handles = await asyncio.gather(*(working.adelay(number) for number in range(1, 51)))
        fault.wait()
    ids = [handle.id.encode() for handle in handles]
    assert entries(server)[1:] == ids


@CUTS
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_map(far: JobQ, proxy: Proxy, server: Server, cut: Break, skip: int) -> None:
    working = far.job(work, name="work")
    working.delay(0)
    fault = cut(proxy)
    fault.skip = skip
    handles = working.map((number,) for number in range(1, 3001))
    fault.wait()
    assert entries(server)[1:] == [handle.id.encode() for handle in handles]


async def test_amap(far: JobQ, proxy: Proxy, server: Server) -> None:
    working = far.job(work, name="work")
    async with far:
        await working.adelay(0)
        fault = proxy.cut_after_request("EVALSHA", skip=1)
        handles = await working.amap((number,) for number in range(1, 3001))
        fault.wait()
    assert entries(server)[1:] == [handle.id.encode() for handle in handles]


def test_a_cut_between_two_calls_is_not_noticed(far: JobQ, proxy: Proxy, hand: Hand) -> None:
    working = far.job(work, name="work")
    for number in range(5):
        working.delay(number)
        proxy.cut()
    assert [call.args for call in hand.calls(count=5)] == [[0], [1], [2], [3], [4]]
