"""Delays, priorities and uniqueness as callers use them: options, handles, errors."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobq import JobQ
from jobq.errors import DuplicateJob, EnqueueError, NotEncodable, OptionError, QueueFull
from jobq.store import keys
from tests.client.hand import Hand
from tests.store.line import pairs, problems
from tests.support.proxy import Fault, Proxy
from tests.support.server import Server


def function(n: int, m: int = 0) -> int:
    return n + m


def where(server: Server) -> dict[str, str]:
    """Return the first letter of the place of each job."""
    index = pairs(server.cli("HGETALL", keys.index("default")))
    return {job_id: place[0] for job_id, place in index.items()}


def calls(server: Server, app: JobQ) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of each job that waits outside of the streams."""
    delayed = server.cli("HGETALL", keys.delayed("default"))
    return {
        job_id.decode(): tuple(app.codec.decode_call(value.split(b" ", 2)[2]).args)
        for job_id, value in zip(delayed[::2], delayed[1::2], strict=True)
    }


# ---------------------------------------------------------------------------- delay, priority


def test_delays(app: JobQ, server: Server) -> None:
    f = app.job(name="f")(function)
    later = f.options(delay="5m").delay(1)
    assert later.status() == "delayed"
    moment = datetime.now(UTC) + timedelta(hours=1)
    same = f.options(at=moment).delay(2)
    assert int(server.cli("ZSCORE", keys.due("default"), f"d{same.id}")) == -(
        -int(moment.timestamp() * 1e6) // 1000
    )
    over = f.options(at=moment - timedelta(hours=2)).delay(3)
    assert over.status() == "ready"
    assert where(server) == {later.id: "d", same.id: "d", over.id: "j"}
    handles = f.options(delay=60, priority="low").map([(n,) for n in range(1500)])
    found = where(server)
    assert {found[handle.id] for handle in handles} == {"d"}
    assert later.cancel()
    assert problems(server) == []


def test_priorities(app: JobQ, hand: Hand, server: Server) -> None:
    f = app.job(name="f", priority="high")(function)
    first = f.delay(1)
    assert app.send("f", 2).queue == "default"
    low = f.options(priority="low").map([(3,), (4,)])
    usual = f.options(priority="normal").delay(5)
    assert sorted(where(server).values()) == ["h", "h", "j", "l", "l"]
    assert [where(server)[one.id] for one in (first, low[0], usual)] == ["h", "l", "j"]
    with JobQ(server.url, priority="low") as other:
        handle = other.options(retries=1).send("g")
        assert where(server)[handle.id] == "l"
    assert [taken.job_id for taken in hand.take()] == [usual.id]


async def test_delays_and_priorities_of_async_calls(app: JobQ, server: Server) -> None:
    async with app:
        f = app.job(name="f")(function)
        later = await f.options(delay=5, job_id="mine").adelay(1)
        first = await app.options(priority="high").asend("f", 1)
        handles = await f.options(delay=5, priority="high").amap([(1,), (2,)])
        with pytest.raises(DuplicateJob, match="mine"):
            await f.options(delay=5, job_id="mine").adelay(1)
    assert where(server) == {later.id: "d", first.id: "h"} | {one.id: "d" for one in handles}


def test_options_are_refused_where_they_are_given(app: JobQ) -> None:
    f = app.job(name="f", unique="args")(function)
    with pytest.raises(OptionError, match=r"^f\.options\(\): at is .*no time zone"):
        f.options(at=datetime(2030, 1, 1))  # noqa: DTZ001  that is the point
    with pytest.raises(OptionError, match=r"^f\.options\(\): delay and at contradict"):
        f.options(delay=1, at=datetime.now(UTC))
    with pytest.raises(OptionError, match=r"^f\.options\(\): job_id and unique contradict"):
        f.options(job_id="a")
    with pytest.raises(OptionError, match=r"^JobQ\.options\(\): delay is 400 d.*JobQ\(max_delay"):
        app.options(delay="400d")
    with pytest.raises(OptionError, match=r"^@job: debounce and on_conflict"):
        app.job(name="g", debounce=1, on_conflict="raise")(function)
    assert app.registry.get("g") is None
    with pytest.raises(OptionError, match=r"JobQ\(\): option 'unique' cannot be set here"):
        JobQ(unique="args")  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="max_delay is 0"):
        JobQ(max_delay=0)
    JobQ(max_delay="500d").options(delay="400d")


# ---------------------------------------------------------------------------- uniqueness


def test_an_existing_job_stands_for_the_call(app: JobQ, hand: Hand, server: Server) -> None:
    f = app.job(name="f", unique="args")(function)
    first = f.delay(1)
    assert f.delay(n=1) == f.delay(1, m=0) == app.send("f", 1) == first
    other = f.delay(2)
    assert f.map([(1,), {"n": 2}, (3,), (3, 0)])[:2] == [first, other]
    assert len(where(server)) == 3
    (taken,) = hand.take()
    hand.succeed(taken, 5)
    assert first.result(timeout=0) == 5
    assert f.delay(1) != first
    assert f.options(unique=None).delay(1) != f.delay(1)


async def test_async_calls_are_unique_too(app: JobQ, server: Server) -> None:
    async with app:
        f = app.job(name="f", unique="args")(function)
        handles = await asyncio.gather(*(f.adelay(n % 5) for n in range(100)))
        assert handles == handles[:5] * 20
        assert await f.amap([(n % 5,) for n in range(300)]) == handles[:5] * 60
        assert await app.asend("f", 0) == handles[0]
    assert len(where(server)) == 5


def test_raise_tells_which_job_and_key(app: JobQ, server: Server) -> None:
    f = app.job(name="f", unique=lambda n, _=0: n, on_conflict="raise")(function)
    first = f.delay(1)
    with pytest.raises(DuplicateJob, match=r"has the uniqueness key 'f:\S{16}'") as caught:
        f.delay(1, 5)
    assert caught.value.job_id == first.id
    assert caught.value.key in pairs(server.cli("HGETALL", keys.unique("default")))
    with pytest.raises(DuplicateJob) as caught:
        f.map([(2,), (3,), (2,), (4,)])
    assert caught.value.__notes__ == ["map(): 2 of 4 jobs were enqueued before that"]
    assert len(where(server)) == 3, "and not the one after it"


def test_replace_and_debounce(app: JobQ, hand: Hand, server: Server) -> None:
    f = app.job(name="f", debounce="5m", debounce_max="20m", unique=lambda n, _=0: n)(function)
    first = f.delay(1, 1)
    assert f.delay(1, 2) == first
    assert f.map([(2, 0), (1, 3), (2, 1)])[1] == first
    found = calls(server, app)
    assert sorted(found.values()) == [(1, 3), (2, 1)]
    assert found[first.id] == (1, 3)
    assert first.status() == "delayed"
    assert first.cancel()
    assert f.delay(1, 4) != first
    assert problems(server) == []


def test_throttle(app: JobQ, server: Server) -> None:
    f = app.job(name="f", throttle="2/1h")(function)
    first, second, third = f.map([(1,), (2,), (3,)])
    assert first != second == third
    with pytest.raises(DuplicateJob, match=f"as many jobs of 'f:.*' as throttle.*{second.id}"):
        f.options(on_conflict="raise").delay(4)
    assert len(where(server)) == 2
    many = f.options(throttle="100/1h").map([(n,) for n in range(150)])
    assert len(set(many)) == 98, "those before count"


def test_a_key_that_cannot_be_encoded(app: JobQ, server: Server) -> None:
    f = app.job(name="f", unique=lambda n: object() if n == 2 else n)(function)
    with pytest.raises(NotEncodable, match=r"^unique: f\(\): what unique returned has type object"):
        f.delay(2)
    with pytest.raises(EnqueueError, match=r"^map\(\): calls\[1\]: unique: "):
        f.map([(1,), (2,)])
    with pytest.raises(EnqueueError, match=r"the function of unique= raised TypeError"):
        f.delay(1, 2)
    assert where(server) == {}


def test_a_full_queue_refuses_new_keys(server: Server) -> None:
    with JobQ(server.url, max_queue_size=1) as app:
        f = app.job(name="f", unique="args")(function)
        first = f.delay(1)
        assert f.delay(1) == first
        with pytest.raises(QueueFull) as caught:
            f.map([(1,), (2,), (1,)])
        assert caught.value.__notes__ == ["map(): 1 of 3 jobs were enqueued before that"]


# ---------------------------------------------------------------------------- signed, cut


@pytest.fixture
def signing(server: Server) -> Iterator[JobQ]:
    with JobQ(server.url, signing_keys={"a": "x" * 16}) as app:
        yield app


def test_a_replaced_call_is_signed_for_its_job(signing: JobQ, server: Server) -> None:
    f = signing.job(name="f", debounce="5m")(function)
    first = f.delay(1)
    assert [one.id for one in f.map([(2,), (3,)])] == [first.id, first.id]
    (value,) = server.cli("HVALS", keys.delayed("default"))
    assert signing.signer is not None
    call = signing.signer.open("default", first.id.encode(), value.split(b" ", 2)[2])
    assert signing.codec.decode_call(call).args == [3]


async def test_a_replaced_async_call_is_signed_for_its_job(signing: JobQ, server: Server) -> None:
    async with signing:
        f = signing.job(name="f", debounce="5m")(function)
        handles = await asyncio.gather(*(f.adelay(n) for n in range(20)))
        assert len(set(handles)) == 1
        assert await f.amap([(98,), (99,)]) == handles[:2]
        (value,) = server.cli("HVALS", keys.delayed("default"))
        assert signing.signer is not None
        call = signing.signer.open("default", handles[0].id.encode(), value.split(b" ", 2)[2])
        assert signing.codec.decode_call(call).args == [99]


def cut(proxy: Proxy, *, reached: bool, skip: int = 0) -> Fault:
    break_at = proxy.cut_after_request if reached else proxy.cut_before_request
    return break_at("EVALSHA", skip=skip)


@pytest.mark.parametrize("reached", [False, True], ids=["before Redis", "after Redis"])
@pytest.mark.parametrize("conflict", ["existing", "replace", "raise"])
def test_a_cut_makes_neither_two_jobs_nor_a_duplicate(
    far: JobQ, proxy: Proxy, server: Server, conflict: Any, reached: bool
) -> None:
    f = far.job(name="f", unique="name", on_conflict=conflict)(function)
    far.options().send("other")  # opens the connection
    faults = [cut(proxy, reached=reached)]
    first = f.delay(1)
    faults.append(cut(proxy, reached=reached))
    if conflict == "raise":
        with pytest.raises(DuplicateJob) as caught:
            f.delay(2)
        assert caught.value.job_id == first.id
    else:
        assert f.delay(2) == first
        faults.append(cut(proxy, reached=reached))
        assert f.map([(3,), (4,)]) == [first, first]
    assert all(fault.fired for fault in faults)
    if conflict == "replace":
        assert calls(server, far) == {first.id: (4,)}
    assert len(where(server)) == 2
    assert problems(server) == []


@pytest.mark.parametrize("reached", [False, True], ids=["before Redis", "after Redis"])
@pytest.mark.parametrize("conflict", ["existing", "replace"])
async def test_a_cut_amid_many_async_calls(
    far: JobQ, proxy: Proxy, server: Server, conflict: Any, reached: bool
) -> None:
    async with far:
        f = far.job(name="f", unique=lambda n: n % 5, on_conflict=conflict)(lambda n: n)
        first = await asyncio.gather(*(f.options(delay="5m").adelay(n) for n in range(5)))
        fault = cut(proxy, reached=reached, skip=30)
        handles = await asyncio.gather(*(f.adelay(n) for n in range(100)))
        assert fault.fired
    assert handles == first * 20
    assert problems(server) == []
    if conflict == "replace":
        assert sorted(calls(server, far).values()) == [(n,) for n in range(95, 100)]
