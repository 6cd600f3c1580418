"""The store for event loops: thousands at once over one connection, and no reply to another."""

import asyncio
import gc
import random
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jobq.errors import StoreUnavailable
from jobq.store import keys
from jobq.store.address import Address, parse_url
from jobq.store.aio import AsyncStore
from jobq.store.multiplex import AsyncConnection
from jobq.store.ops import enqueue, fetch, upkeep
from jobq.store.wire import Op, as_is
from tests.store.line import problems, waiting
from tests.store.peers import Peer
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import await_until


def echo(text: str) -> Op[bytes]:
    return Op(("ECHO", text), as_is)


def add(number: int) -> Op[int]:
    return enqueue.enqueue("mail", f"job{number}", b"call")


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[AsyncConnection]:
    connection = AsyncConnection(lambda: parse_url(server.url), patience=10.0)
    yield connection
    await connection.close()


@pytest.fixture
async def far(proxy: Proxy) -> AsyncIterator[AsyncConnection]:
    connection = AsyncConnection(lambda: parse_url(proxy.url), patience=10.0)
    yield connection
    await connection.close()


async def test_cancelled_waiters_shift_no_reply(connection: AsyncConnection) -> None:
    chance = random.Random(7)  # noqa: S311  a test
    futures = [connection.submit(echo(str(number))) for number in range(1000)]
    cancelled = set(chance.sample(range(1000), 500))
    early = [number for number in cancelled if number % 2]
    for number in early:
        futures[number].cancel()
    for number in range(0, 1000, 50):
        await asyncio.sleep(0)  # noqa: TID251  a turn of the loop, no wait
        for later in range(number, number + 50):
            if later in cancelled:
                futures[later].cancel()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    for number, answer in enumerate(answers):
        if isinstance(answer, asyncio.CancelledError):
            assert number in cancelled
        else:
            assert answer == str(number).encode()
    assert sum(isinstance(answer, bytes) for answer in answers) >= 500
    assert await connection.run(echo("last")) == b"last"


async def test_cancelled_tasks_over_a_cut(
    far: AsyncConnection, proxy: Proxy, server: Server
) -> None:
    await far.run(add(0))
    fault = proxy.cut_after_request("EVALSHA", skip=20)
    tasks = [asyncio.create_task(far.run(add(number))) for number in range(1, 101)]
    await asyncio.sleep(0)  # noqa: TID251  a turn of the loop, no wait
    for task in tasks[::3]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    fault.wait()
    kept = [answer for answer in answers if not isinstance(answer, asyncio.CancelledError)]
    assert all(answer in {0, 1} for answer in kept)
    assert await far.run(echo("last")) == b"last"
    found = waiting(server)
    assert len(found) == len(set(found)), "none twice"
    expected = {f"job{n}" for n in range(1, 101) if (n - 1) % 3}
    assert expected <= set(found)


@pytest.mark.parametrize("store", [False, True], ids=["connection", "store"])
async def test_five_thousand_at_once(server: Server, store: bool) -> None:
    locate = lambda: parse_url(server.url)  # noqa: E731
    far: Any = AsyncStore(locate) if store else AsyncConnection(locate)
    answers = await asyncio.gather(*(far.run(add(number)) for number in range(5000)))
    await far.close()
    assert answers == [1] * 5000
    assert waiting(server) == [f"job{number}" for number in range(5000)]
    assert server.cli("ZCARD", keys.lanes("mail")) == 1


@pytest.mark.parametrize("store", [False, True], ids=["connection", "store"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reconnect_keeps_the_order(
    proxy: Proxy, server: Server, store: bool, when: str
) -> None:
    locate = lambda: parse_url(proxy.url)  # noqa: E731
    far: Any = AsyncStore(locate) if store else AsyncConnection(locate)
    names = 0
    await far.run(add(0))
    for _ in range(3):
        fault = {"before": proxy.cut_before_request, "after": proxy.cut_after_request}[when]("")
        many = range(names + 1, names + 101)
        answers = await asyncio.gather(*(far.run(add(number)) for number in many))
        names += 100
        fault.wait()
        assert set(answers) <= {0, 1}
    await far.close()
    assert waiting(server) == [f"job{number}" for number in range(names + 1)]


async def test_cuts_at_random(far: AsyncConnection, proxy: Proxy, server: Server) -> None:
    async def cut_often() -> None:
        while not all(task.done() for task in tasks):
            proxy.cut()
            await await_until(lambda: proxy.connections or done(), "it is connected again")
            for _ in range(20):
                await asyncio.sleep(0)  # noqa: TID251  some turns of the loop

    def done() -> bool:
        return all(task.done() for task in tasks)

    async def produce(first: int) -> None:
        for number in range(first, first + 50):
            assert await far.run(add(number)) in {0, 1}

    tasks = [asyncio.create_task(produce(first)) for first in range(0, 500, 50)]
    await asyncio.gather(cut_often(), *tasks)
    found = waiting(server)
    assert sorted(found) == sorted(f"job{number}" for number in range(500))
    for first in range(0, 500, 50):
        names = [f"job{number}" for number in range(first, first + 50)]
        assert [name for name in found if name in set(names)] == names
    assert problems(server) == []


def test_two_loops_one_after_the_other(server: Server) -> None:
    store = AsyncStore(lambda: parse_url(server.url))

    async def work(number: int) -> bytes:
        await store.run(add(number))
        said = await store.run(echo(str(number)))
        await store.close()
        return said

    assert [asyncio.run(work(number)) for number in range(3)] == [b"0", b"1", b"2"]
    assert waiting(server) == ["job0", "job1", "job2"]


def test_a_loop_that_ended_without_close(server: Server) -> None:
    def work_and_forget() -> None:
        store = AsyncStore(lambda: parse_url(server.url))
        assert [asyncio.run(store.run(add(number))) for number in range(3)] == [1, 1, 1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that is what they are for
        work_and_forget()
        gc.collect()
    assert waiting(server) == ["job0", "job1", "job2"]


async def test_words_that_cannot_be_sent_shift_no_reply(server: Server) -> None:
    store = AsyncStore(lambda: parse_url(server.url))
    for _ in range(2):  # before there is a connection, and after
        with pytest.raises(UnicodeEncodeError):
            await store.run(echo("\ud800"))
        with pytest.raises(UnicodeEncodeError):
            await store.run(enqueue.enqueue("mail", "\ud800", b""))
        assert await store.run(echo("a")) == b"a"
    bad = [store.run(enqueue.enqueue("mail", "\ud800", b"")), store.run(echo("\ud800"))]
    good = [store.run(echo(str(number))) for number in range(10)]
    answers = await asyncio.gather(*bad, *good, return_exceptions=True)
    assert [type(answer) for answer in answers[:2]] == [UnicodeEncodeError] * 2
    assert answers[2:] == [str(number).encode() for number in range(10)]
    await store.close()


async def test_a_close_fails_what_waits_and_opens_nothing_again(server: Server) -> None:
    store = AsyncStore(lambda: parse_url(server.url))
    await store.run(echo("x"))
    answers = await asyncio.gather(
        store.run(add(1)), store.run(echo("y")), store.close(), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable, type(None)]
    await await_until(lambda: b" name=jobq " not in server.cli("CLIENT", "LIST"), "it is closed")
    assert await store.run(echo("z")) == b"z"
    await store.close()


async def test_a_close_while_an_op_waits_for_a_server_that_loads() -> None:
    def says(_number: int, command: tuple[bytes, ...]) -> bytes:
        if command[0] == b"TIME":
            return b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"
        return b"-BUSY Redis is busy\r\n" if command[0] == b"ECHO" else b"+OK\r\n"

    with Peer(says) as peer:
        connection = AsyncConnection(lambda: parse_url(peer.url))
        future = connection.submit(echo("x"))
        await await_until(lambda: bool(connection._resting), "it rests")
        await connection.close()
        with pytest.raises(StoreUnavailable):
            await future
        assert peer.connections == 1


async def test_a_read_is_not_sent_again(proxy: Proxy, server: Server) -> None:
    connection = AsyncConnection(lambda: parse_url(proxy.url), resend=False)
    await connection.run(upkeep.regroup("mail"))
    fault = proxy.cut_after_request("XREADGROUP")
    with pytest.raises(StoreUnavailable):
        await connection.run(fetch.read("mail", "w1", 1, 0.0))
    fault.wait()
    reads = [command for command in proxy.commands if command[0] == b"XREADGROUP"]
    assert len(reads) == 1
    assert await connection.run(echo("x")) == b"x"
    await connection.close()


async def test_a_reply_of_another_shape_shifts_no_reply(connection: AsyncConnection) -> None:
    def fails(reply: object) -> int:
        raise ValueError(reply)

    odd: Op[int] = Op(("ECHO", "odd"), fails)
    answers = await asyncio.gather(
        connection.run(echo("a")), connection.run(odd), connection.run(echo("b")),
        return_exceptions=True,
    )  # fmt: skip
    assert (answers[0], answers[2]) == (b"a", b"b")
    assert "cannot be read" in str(answers[1])


async def test_replies_that_nobody_asked_for() -> None:
    def says(_number: int, command: tuple[bytes, ...]) -> bytes:
        if command[0] == b"TIME":
            return b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"
        return b"+OK\r\n+more\r\n+more\r\n" if command[0] == b"ECHO" else b"+OK\r\n"

    with Peer(says) as peer:
        connection = AsyncConnection(lambda: parse_url(peer.url), patience=0.0)
        assert await connection.run(echo("x")) == b"OK"
        await await_until(lambda: connection._transport is None, "it was hung up")
        await connection.close()


async def test_an_address_that_takes_its_time_stops_no_loop(server: Server) -> None:
    """As the embedded server does when it is started."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    located = asyncio.run_coroutine_threadsafe

    def locate() -> Address:
        located(ready.wait(), loop).result(10)
        return parse_url(server.url)

    connection = AsyncConnection(locate)
    future = connection.submit(echo("x"))
    await asyncio.sleep(0)  # noqa: TID251  a turn of the loop, no wait
    assert not future.done()
    ready.set()
    assert await future == b"x"
    await connection.close()


async def test_changed_keys_are_told_also_after_a_cut(proxy: Proxy, server: Server) -> None:
    key = keys.result("mail", "a")
    store = AsyncStore(lambda: parse_url(proxy.url))
    read: Callable[..., Any] = getattr(store, "run_watched", store.run)
    event = store.watch(key)
    assert await read(Op(("GET", key), as_is)) is None
    event.clear()
    server.cli("SET", key, "x", "PX", 60_000)
    await asyncio.wait_for(event.wait(), 10)
    event.clear()
    proxy.cut()
    assert await read(Op(("GET", key), as_is)) == b"x"
    await asyncio.wait_for(event.wait(), 10)
    event.clear()
    server.cli("DEL", key)
    await asyncio.wait_for(event.wait(), 10)
    store.unwatch(key, event)
    await store.close()
