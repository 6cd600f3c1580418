"""Numbers of jobs in Redis: counted with what they count, moved into rows once, within bounds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from jobq.client.numbers import Numbers
from jobq.core.codec import Codec
from jobq.core.signing import make_signer
from jobq.core.tally import MOST_JOBS, OTHERS, Tally
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import enqueue, fetch, manage, numbers, settle, upkeep
from jobq.store.ops.settle import AGAIN
from jobq.store.sync import Store
from tests.store.line import WORKER, Line
from tests.support.server import Server

MINUTE = 60_000
CODEC = Codec()


@pytest.fixture
def store(server: Server) -> Store:
    address = parse_url(server.url)
    return Store(lambda: address)


@pytest.fixture
def line(store: Store) -> Line:
    return Line(store.run).open()


def totals(store: Store) -> dict[str, dict[str, int]]:
    return {
        job: {name: number for name, number in tally.counters.items() if number}
        for (_, job), tally in Numbers(store).totals(["mail"]).items()
    }


def roll(store: Store, *full: str) -> set[str]:
    counts = store.run(numbers.fresh("mail")).counts
    return {job for op in numbers.roll("mail", counts, full) for job in store.run(op)}


def call(name: str, arguments: tuple[object, ...] = ()) -> bytes:
    return bytes(CODEC.encode_call(name, arguments, {}))


def test_calls_are_counted_by_their_job_functions(store: Store, line: Line) -> None:
    signer = make_signer({"key-1": "a secret of 16 bytes"}, accept_unsigned=False, what="keys")
    assert signer is not None
    long = "n" * 180
    calls = [
        call("a"),
        call("a", ("other",)),
        call("ab"),
        call("a"),
        call(long),
        call("ü" * 200),
        signer.sign("mail", "x", call("signed")),
        signer.sign("mail", "x", call("signed", ("y" * 300,))),
        b"garbage",
        b"\x95\x01\xda\xff\xff",
        b"\x94\x02",
    ]
    jobs = [(f"id-{at}", one) for at, one in enumerate(calls)]
    assert line.run(enqueue.enqueue_many("mail", jobs)) == len(calls)
    special = [(f"later-{at}", one) for at, one in enumerate(calls[:2])]
    line.run(enqueue.enqueue_special("mail", special, due=(60_000, 0)))
    found = {job: counts["enqueued"] for job, counts in totals(store).items()}
    assert found == {"a": 5, "ab": 1, long: 1, "ü" * 200: 1, "signed": 2, OTHERS: 3}
    for job_id in ("id-0", "later-0", "id-8"):
        assert line.run(manage.cancel("mail", job_id)) == manage.CANCELLED_IT
    assert totals(store)["a"]["cancelled"] == 2
    assert totals(store)[OTHERS]["cancelled"] == 1


def test_a_batch_that_is_owned_in_part_is_settled_as_a_whole_later(
    store: Store, line: Line
) -> None:
    mine = line.start("a")
    lost = line.start("b")
    line.run(settle.release(lost, call("x"), delay=60, kind=fetch.ANY))
    batch = [(one.entry, one.job_id, 0, b"", 0) for one in (mine, lost)]
    counts = [("job", "s 2 R0 2")]
    said = line.run(settle.settle("mail", WORKER, batch, counts=counts))
    assert said == [AGAIN, lost.entry]
    assert "job" not in totals(store)
    assert line.run(settle.settle("mail", WORKER, batch[:1], counts=[("job", "s 1 R0 1")])) == []
    again = line.run(settle.settle("mail", WORKER, batch[:1], counts=[("job", "s 1 R0 1")]))
    assert again == [mine.entry]
    assert totals(store)["job"] == {"started": 1, "succeeded": 1}


def test_what_is_counted_is_moved_into_rows_once(store: Store, line: Line, redis: Redis) -> None:
    line.run(enqueue.enqueue_many("mail", [(f"{at}", call("a")) for at in range(5)]))
    before = totals(store)
    counts = store.run(numbers.fresh("mail")).counts
    twice = [*numbers.roll("mail", counts), *numbers.roll("mail", counts)]
    assert [store.run(op) for op in twice] == [frozenset(), frozenset()]
    assert store.run(numbers.fresh("mail")).counts == ()
    assert totals(store) == before == {"a": {"enqueued": 5}}
    line.run(enqueue.enqueue_many("mail", [("more", call("a"))]))
    assert totals(store) == {"a": {"enqueued": 6}}
    roll(store)
    assert totals(store) == {"a": {"enqueued": 6}}
    since = datetime.now(UTC) - timedelta(minutes=2)
    for step in ("minute", "hour"):
        points = Numbers(store).series("mail", "a", since=since, step=step)
        assert sum(point.tally.enqueued for point in points) == 6
    rows = [key for key in redis.keys("jobq:*") if b":minutes:" in key or b":hours:" in key]
    assert len(rows) >= 2
    for key in rows:
        assert 0 < redis.pttl(key) <= 31 * 24 * 60 * MINUTE


def test_only_so_many_job_functions_have_numbers_of_their_own(store: Store, line: Line) -> None:
    calls = [(f"{at}", call(f"job-{at:03}")) for at in range(MOST_JOBS + 5)]
    line.run(enqueue.enqueue_many("mail", calls))
    full = roll(store)
    assert full == {f"job-{at}" for at in range(MOST_JOBS, MOST_JOBS + 5)}
    found = totals(store)
    assert len(found) == MOST_JOBS + 1, "those without room are shown together"
    assert found[OTHERS] == {"enqueued": 5}
    assert roll(store, *full) == set()
    assert totals(store) == found


def test_numbers_that_nobody_moves_are_bounded(store: Store, line: Line, redis: Redis) -> None:
    stuffed: dict[Any, Any] = {f"{at} e x": 1 for at in range(1000, 9200)}
    redis.hset(keys.tally("mail"), mapping=stuffed)
    line.run(enqueue.enqueue_many("mail", [("one", call("new")), ("two", call("newer"))]))
    assert redis.hget(keys.tally("mail"), "0 e *") == b"2"
    assert redis.hlen(keys.tally("mail")) == len(stuffed) + 1
    roll(store)
    assert totals(store) == {"x": {"enqueued": len(stuffed)}, OTHERS: {"enqueued": 2}}


def test_a_name_that_is_no_text_is_moved_to_those_of_others(store: Store, line: Line) -> None:
    strange = b"\x95\x01\xa2\xff\xfe\x90\x80\x80"
    line.run(enqueue.enqueue_many("mail", [("one", strange), ("two", call("a"))]))
    assert totals(store) == {OTHERS: {"enqueued": 1}, "a": {"enqueued": 1}}
    assert roll(store) == set()
    assert store.run(numbers.fresh("mail")).counts == ()
    assert totals(store) == {OTHERS: {"enqueued": 1}, "a": {"enqueued": 1}}


def test_thousands_of_names_are_shown_together_and_moved_in_small_steps(
    store: Store, line: Line, redis: Redis
) -> None:
    stuffed: dict[Any, Any] = {f"1000 e job-{at:04}": 1 for at in range(7999)}
    redis.hset(keys.tally("mail"), mapping=stuffed)
    before = totals(store)
    assert len(before) == MOST_JOBS + 1
    full = roll(store)
    assert totals(store) == before
    ops = numbers.roll("mail", store.run(numbers.fresh("mail")).counts, full)
    assert max(len(op.words) for op in ops) < 1100
    assert {job for op in ops for job in store.run(op)} == set()
    assert store.run(numbers.fresh("mail")).counts == ()
    assert totals(store) == before


def test_strange_keys_keep_no_job_from_its_way(store: Store, line: Line, redis: Redis) -> None:
    attempt = line.start("a")
    for key in (keys.tally("mail"), keys.totals("mail")):
        redis.delete(key)
        redis.set(key, "strange")
    assert line.settle([attempt]) == []
    later = line.start("b")
    assert line.fail(later)
    assert Numbers(store).totals(["mail"]) == {}
    redis.delete(keys.tally("mail"))
    redis.hset(keys.tally("mail"), mapping={"7 e a": "text", "nothing": "1", "7 s a": 3})
    redis.hset(keys.minutes("mail", 0, "a"), "7", b"\xc1")
    fresh = store.run(numbers.fresh("mail"))
    assert set(fresh.strange) == {b"7 e a", b"nothing"}
    store.run(numbers.drop("mail", fresh.strange))
    assert roll(store) == set()
    assert store.run(numbers.fresh("mail")).counts == ()
    assert store.run(numbers.minutes("mail", 0, "a")) == {7: {"s": 3}}


def test_numbers_of_a_removed_queue_are_gone(store: Store, line: Line) -> None:
    line.run(enqueue.enqueue_many("mail", [("a", call("a"))]))
    for op in manage.remove_queue("mail"):
        line.run(op)
    assert Numbers(store).totals(["mail"]) == {}
    now = datetime.fromtimestamp(store.run(upkeep.time_ms()) / 1000, UTC)
    assert Numbers(store).series("mail", since=now - timedelta(hours=1)) == []
    assert Numbers(store).recent("mail", 5, store.run(upkeep.time_ms())) == Tally()
