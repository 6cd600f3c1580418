"""Many calls at once: `map` and `amap`."""

from typing import Any

import pytest

from jobq import JobFunction, JobQ
from jobq.errors import ArgumentError, EnqueueError, NotEncodable, OptionError, StoreError
from tests.client.hand import Hand
from tests.support.proxy import Proxy
from tests.support.server import Server


def add(a: int, b: int = 0) -> int:
    return a + b


def blob(data: str) -> None: ...


@pytest.fixture
def adding(app: JobQ) -> JobFunction[..., int]:
    """A job function on the server of the tests."""
    return app.job(add, name="add")


def scripts(proxy: Proxy) -> int:
    return sum(command[0] == b"EVALSHA" for command in proxy.commands)


def test_ten_thousand_calls_are_in_order_and_unique(
    adding: JobFunction[..., int], hand: Hand, server: Server
) -> None:
    handles = adding.map((number,) for number in range(10_000))
    assert len({handle.id for handle in handles}) == 10_000
    assert server.cli("XLEN", "jobq:{default}:jobs") == 10_000
    assert server.cli("HLEN", "jobq:{default}:index") == 10_000
    taken = hand.take(count=10_000)
    assert [one.job_id for one in taken] == [handle.id for handle in handles]
    assert [hand.codec.decode_call(one.call).args for one in taken[-2:]] == [[9998], [9999]]


async def test_amap_sends_the_same(adding: JobFunction[..., int], app: JobQ, hand: Hand) -> None:
    async with app:
        handles = await adding.amap([(1, 2), {"a": 3}])
    taken = hand.take(count=2)
    assert [one.job_id for one in taken] == [handle.id for handle in handles]
    calls = [hand.codec.decode_call(one.call) for one in taken]
    assert [(call.args, call.kwargs) for call in calls] == [([1, 2], {}), ([], {"a": 3})]


def test_a_thousand_calls_are_one_round_trip(far: JobQ, proxy: Proxy) -> None:
    adding = far.job(add, name="add")
    adding.delay(0)  # Redis learns the script
    before = scripts(proxy)
    adding.map([(1,)] * 2001)
    assert scripts(proxy) - before == 3


def test_large_calls_are_split_by_size(far: JobQ, proxy: Proxy, server: Server) -> None:
    sending = far.job(blob, name="blob")
    sending.delay("")
    before = scripts(proxy)
    sending.map([("x" * 500_000,)] * 20)  # 10 MB
    assert scripts(proxy) - before == 3
    assert server.cli("XLEN", "jobq:{default}:jobs") == 21


def test_nothing_to_send_is_no_round_trip(far: JobQ, proxy: Proxy) -> None:
    assert far.job(add, name="add").map([]) == []
    assert proxy.commands == []


def test_options_hold_for_all_calls(adding: JobFunction[..., int], hand: Hand) -> None:
    handles = adding.options(queue="bulk", retries=0).map([(1,), (2,)])
    assert {handle.queue for handle in handles} == {"bulk"}
    assert [call.headers for call in hand.calls("bulk", 2)] == [{"r": 0}, {"r": 0}]


def test_an_id_of_ones_own_is_for_a_single_call(adding: JobFunction[..., int]) -> None:
    with pytest.raises(OptionError, match=r"add.map\(\): option 'job_id' belongs to a single"):
        adding.options(job_id="x").map([(1,)])


@pytest.mark.parametrize(
    ("wrong", "error", "problem"),
    [
        (3, ArgumentError, r"calls\[1\]: an? int; each call is a tuple"),
        ("34", ArgumentError, r"calls\[1\]: an? str; each call is a tuple"),
        ([3], ArgumentError, r"calls\[1\]: an? list; each call is a tuple"),
        ((1, 2, 3), ArgumentError, r"calls\[1\]: add: too many positional arguments"),
        ({"c": 1}, ArgumentError, r"calls\[1\]: add: missing a required argument: 'a'"),
        ((object(),), NotEncodable, r"calls\[1\]: add\(a=…\): argument 'a' has type object"),
    ],
)
def test_one_wrong_call_stops_all_before_anything_is_sent(
    adding: JobFunction[..., int],
    server: Server,
    wrong: Any,
    error: type[EnqueueError],
    problem: str,
) -> None:
    with pytest.raises(error, match=problem):
        adding.map([(1,), wrong, (2,)])
    assert server.cli("DBSIZE") == 0


def test_a_failure_half_way_tells_how_many_were_enqueued(
    adding: JobFunction[..., int], server: Server
) -> None:
    server.cli("SET", "jobq:{default}:index", "of the wrong type")
    with pytest.raises(StoreError, match="WRONGTYPE") as failed:
        adding.map([(1,), (2,)])
    assert failed.value.__notes__ == ["map(): 0 of 2 jobs were enqueued before that"]
    server.cli("FLUSHALL")
