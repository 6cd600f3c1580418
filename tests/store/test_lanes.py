"""One enqueue is one job: resends, swept lanes, lost scripts."""

import asyncio
from typing import Any

import pytest

from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.aio import AsyncStore
from jobq.store.connection import Connection
from jobq.store.multiplex import AsyncConnection
from jobq.store.ops import enqueue, upkeep
from jobq.store.wire import Op
from tests.store.line import Line, problems, resent, waiting
from tests.support.server import Server


def add(job_id: str, queue: str = "mail") -> Op[int]:
    return enqueue.enqueue(queue, job_id, b"call")


def test_a_resend_adds_nothing(line: Line, server: Server) -> None:
    run = line.run
    assert run(resent(add("a"), "lane", 1)) == 1
    assert run(resent(add("a"), "lane", 1)) == 0
    assert run(resent(add("b"), "other", 7)) == 1
    assert run(resent(enqueue.enqueue_many("mail", [("c", b""), ("d", b"")]), "lane", 2)) == 2
    assert run(resent(enqueue.enqueue_unique("mail", "e", b""), "lane", 3)) is True
    for op, seq in ((add("a"), 1), (enqueue.enqueue_many("mail", [("c", b""), ("d", b"")]), 2)):
        assert run(resent(op, "lane", seq)) == 0
    assert run(resent(enqueue.enqueue_unique("mail", "e", b""), "lane", 3)) is True
    assert run(resent(add("b"), "other", 7)) == 0
    assert waiting(server) == ["a", "b", "c", "d", "e"]


def test_a_resend_of_a_job_that_has_finished_adds_nothing(line: Line, server: Server) -> None:
    line.run(resent(enqueue.enqueue_unique("mail", "a", b""), "lane", 1))
    line.run(resent(add("b"), "lane", 2))
    assert line.settle(line.read(2)) == []
    assert line.run(resent(enqueue.enqueue_unique("mail", "a", b""), "lane", 1)) is True
    assert line.run(resent(add("b"), "lane", 2)) == 0
    assert waiting(server) == []


def test_a_refused_id_is_refused_again_and_holds_nothing_up(line: Line, server: Server) -> None:
    line.run(resent(enqueue.enqueue_unique("mail", "a", b""), "lane", 1))
    for _ in range(2):
        assert line.run(resent(enqueue.enqueue_unique("mail", "a", b""), "lane", 2)) is False
    assert line.run(resent(add("b"), "lane", 3)) == 1
    assert waiting(server) == ["a", "b"]


def test_each_queue_has_its_own_lanes(line: Line, server: Server) -> None:
    assert line.run(resent(add("a"), "lane", 2)) == 1
    assert line.run(resent(add("b", "news"), "lane", 1)) == 1
    assert line.run(resent(add("b", "news"), "lane", 1)) == 0
    assert waiting(server, "news") == ["b"]


def test_only_a_stale_lane_is_swept(line: Line, server: Server) -> None:
    line.run(add("a"))
    (ours,) = server.cli("ZRANGE", keys.lanes("mail"), 0, -1)
    now = line.run(upkeep.time_ms())
    day_ago = now - 86_400_000
    lanes = {f"lane{number}": (day_ago - 1) * 1000 - number for number in range(2000)}
    lanes["young"] = (day_ago + 1) * 1000
    server.cli("ZADD", keys.lanes("mail"), *(w for name, at in lanes.items() for w in (at, name)))
    assert line.run(upkeep.sweep_lanes("mail", day_ago)) == 2000
    assert line.run(upkeep.sweep_lanes("mail", day_ago)) == 0
    assert server.cli("ZRANGE", keys.lanes("mail"), 0, -1) == [b"young", ours]
    assert line.run(resent(add("b"), "young", lanes["young"])) == 0
    assert waiting(server) == ["a"]


def test_the_number_of_a_call_is_redis_time(line: Line, server: Server) -> None:
    line.run(add("a"))
    before = line.run(upkeep.time_ms())
    line.run(add("b"))
    _, number = server.cli("ZRANGE", keys.lanes("mail"), 0, -1, "WITHSCORES")
    assert before * 1000 - 1_000_000 < int(number) < (line.run(upkeep.time_ms()) + 1000) * 1000


def test_a_lost_script(line: Line, server: Server) -> None:
    for name in ("a", "b", "c"):
        server.cli("SCRIPT", "FLUSH")
        assert line.add(name) == 1
    assert waiting(server) == ["a", "b", "c"]
    assert problems(server) == []


def test_a_lost_script_in_the_middle_of_an_exchange(server: Server) -> None:
    connection = Connection(lambda: parse_url(server.url))
    connection.run(add("first"))
    flush = Op(("SCRIPT", "FLUSH"), bytes)
    ops: list[Op[Any]] = [
        add("a"),
        flush,
        add("b"),
        enqueue.enqueue_unique("mail", "c", b""),
        add("d"),
    ]
    assert connection.exchange(ops) == [1, b"OK", 1, True, 1]
    connection.begin([flush, add("e")])
    assert connection.finish([flush, add("e")]) == [b"OK", 1]
    connection.close()
    assert waiting(server) == ["first", "a", "b", "c", "d", "e"]


@pytest.mark.parametrize("at", [0, 1, 25, 50])
async def test_a_lost_script_in_the_middle_of_fifty_at_once(server: Server, at: int) -> None:
    connection = AsyncConnection(lambda: parse_url(server.url))
    await connection.run(add("first"))
    names = [f"job{number}" for number in range(50)]
    ops: list[Op[Any]] = [add(name) for name in names]
    ops.insert(at, Op(("SCRIPT", "FLUSH"), bytes))
    answers = await asyncio.gather(*map(connection.submit, ops))
    await connection.close()
    assert [answer for answer in answers if answer != b"OK"] == [1] * 50
    assert waiting(server) == ["first", *names]


async def test_scripts_that_are_lost_again_and_again(server: Server) -> None:
    store = AsyncStore(lambda: parse_url(server.url))
    flush = Op(("SCRIPT", "FLUSH"), bytes)
    names = [f"job{number}" for number in range(300)]
    ops: list[Op[Any]] = [op for name in names for op in (add(name), flush)]
    answers = await asyncio.gather(*map(store.run, ops))
    await store.close()
    assert answers[::2] == [1] * 300
    assert sorted(waiting(server)) == sorted(names)
    assert problems(server) == []
