"""Whatever strangers put into the streams: the worker goes on, and the healthy jobs succeed."""

import random

import pytest

from jobq.store import keys
from jobq.store.ops import fetch
from tests.scenario.ground import COMMON, PATIENCE, Ground, once_each
from tests.support.garbage import UNREADABLE, call
from tests.support.wait import wait_until

#: The fast suite has three minutes.
pytestmark = pytest.mark.slow

APP = """
@app.job(retries=0)
def fails():
    raise ValueError("no")

@app.job
def pair(a: int, b: int):
    return a + b
"""


def add(ground: Ground, stream: str, fields: list[bytes]) -> None:
    ground.server.cli("XADD", stream, "*", *fields)


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_garbage_in_jobs(ground: Ground, kind: str) -> None:
    ground.write(COMMON, APP, "@app.job\nasync def other(): pass" if kind == "async" else "")
    stream = keys.jobs("default")
    for number, fields in enumerate(UNREADABLE.values()):
        ground.put("jobs.short", [(number,)])
        add(ground, stream, fields)
    ground.put("jobs.short", [(len(UNREADABLE),)])
    worker = ground.worker(processes=2)
    ground.wait_empty(dead=len(UNREADABLE))

    assert ground.ran() == once_each(len(UNREADABLE) + 1)
    letters = ground.dead()
    assert {letter["reason"] for letter in letters} == {"unreadable"}
    assert len(letters) == len(UNREADABLE)
    for _, kept in ground.server.cli("XRANGE", keys.dead("default"), "-", "+"):
        assert len(kept[1]) <= 2048
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text
    assert "\x1b" not in worker.text
    worker.terminate()
    assert worker.wait() == 0


def test_random_bytes_in_jobs(ground: Ground) -> None:
    ground.write(COMMON)
    dice = random.Random(7)  # noqa: S311  the same in each run
    good = call("jobs.short", 7, "text", [1, {"a": None}])
    for _ in range(300):
        blob = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            blob[dice.randrange(len(blob))] = dice.randrange(256)
        add(ground, keys.jobs("default"), [dice.randbytes(4).hex().encode(), bytes(blob)])
    ground.put("jobs.short", [(n,) for n in range(100)])
    worker = ground.worker(processes=2)
    ground.wait_traced("ran", 100)
    wait_until(lambda: ground.pending("jobs") == [], "all were put somewhere", PATIENCE)
    assert once_each(100) <= ground.ran()
    assert "worker died" not in worker.text
    assert "Traceback (" not in worker.text.replace("\\n", "")


def test_calls_that_do_not_fit_are_failures(ground: Ground) -> None:
    ground.write(COMMON, APP)
    ids = ground.put("jobs.pair", [(1,), (1, 2, 3)], headers={"r": 0})
    ground.burst("--processes", "1")
    letters = {letter["id"]: letter for letter in ground.dead()}
    assert set(letters) == set(ids)
    assert all(
        "TypeError" in str(letter) or "ArgumentError" in str(letter) for letter in letters.values()
    )


@pytest.mark.parametrize(
    "more", [[b"first", b"x"], [b"first", b""], [b"history", b"\x00"], [b"first", b"a-b"]]
)
def test_odd_fields_beside_a_call(ground: Ground, more: list[bytes]) -> None:
    """Fields that jobq itself writes, with something else in them."""
    ground.write(COMMON, APP, "@app.job\ndef when(): return str(current_job().enqueued_at.year)")
    stream = keys.jobs("default")
    add(ground, stream, [b"odd-fails", call("jobs.fails"), *more])
    add(ground, stream, [b"odd-good", call("jobs.pair", 1, 2), *more])
    add(ground, stream, [b"odd-when", call("jobs.when"), *more])
    ground.put("jobs.short", [(0,)])
    worker = ground.burst("--processes", "1")
    assert [letter["id"] for letter in ground.dead()] == ["odd-fails"]
    assert ground.app.handle("odd-good", "default").result(timeout=1) == 3
    assert str(ground.app.handle("odd-when", "default").result(timeout=1)).startswith("20")
    assert "worker died" not in worker.text


def test_garbage_in_retries(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
@app.job(backoff=0.05)
def second():
    if current_job().attempt == 1:
        raise ValueError("again")
    return "good"
""",
    )
    worker = ground.worker(processes=2)
    assert ground.send("jobs.second").result(timeout=10) == "good"
    for fields in UNREADABLE.values():
        add(ground, keys.retries("default"), fields)
    add(ground, keys.retries("default"), [b"stray", call("jobs.short", 0)])
    add(ground, keys.retries("default"), [b"stray2", call("jobs.short", 1), b"first", b"x"])
    # Whoever parks a retry after them finds them.
    assert ground.send("jobs.second").result(timeout=10) == "good"
    wait_until(lambda: len(ground.dead()) == len(UNREADABLE), "all are dead letters", PATIENCE)
    wait_until(lambda: ground.pending("retries") == [], "nothing is left", PATIENCE)
    assert ground.ran() == once_each(2)
    assert "worker died" not in worker.text


def test_garbage_in_the_dead_letters_and_elsewhere(ground: Ground) -> None:
    ground.write(COMMON)
    for fields in UNREADABLE.values():
        add(ground, keys.dead("default"), fields)
    ground.redis.zadd(keys.due("default"), {b"\xff\xfe": 1, b"s1-1": 3, b"zzz": 4, b"s9": 1})
    ground.redis.hset(keys.history("default"), b"x", b"\x00")
    ground.redis.hset(keys.index("default"), b"\xff", b"\xff")
    ground.redis.sadd(keys.QUEUES, "default")
    worker = ground.worker()
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    assert len(ground.dead()) == len(UNREADABLE)
    worker.terminate()
    assert worker.wait() == 0


@pytest.mark.parametrize("member", [b"", b"sodd"])
def test_a_member_of_due_that_is_no_entry(ground: Ground, member: bytes) -> None:
    """The queue goes on; whoever looks first drops it."""
    ground.write(COMMON)
    ground.redis.zadd(keys.due("default"), {member: 1})
    ground.put("jobs.short", [(0,)])
    ground.worker()
    ground.wait_traced("ran", timeout=3)


def test_an_entry_in_front_of_every_other_id(ground: Ground) -> None:
    """The greatest id there is: nothing can be added after it, but the worker goes on."""
    ground.write(COMMON)
    worker = ground.worker()
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    most = 2**64 - 1
    ground.server.cli("XADD", keys.retries("default"), f"{most}-{most - 1}", "a", "b")
    ground.put("jobs.short", [(n,) for n in range(10)])
    ground.wait_traced("ran", 10)
    assert "worker died" not in worker.text


@pytest.mark.slow
def test_newer_and_unknown_calls_wait_for_a_worker_that_knows_them(ground: Ground) -> None:
    ground.write(COMMON)
    (unknown,) = ground.put("jobs.tomorrow", [(7,)])
    add(ground, keys.jobs("default"), [b"newer", call("jobs.short", 1, version=2)])
    first = ground.worker()
    wait_until(lambda: ground.redis.zcard(keys.due("default")) == 2, "both were put back", PATIENCE)
    members = ground.redis.zrange(keys.due("default"), 0, -1)
    assert {member[:1] for member in members} == {fetch.UNKNOWN.encode()}
    assert {(row[1], row[3]) for row in ground.pending("retries")} == {(b"parked", 0)}
    first.wait_for_line("put back job=newer .*reason=")
    first.wait_for_line("this worker knows no job function 'jobs.tomorrow'")
    first.terminate()
    assert first.wait() == 0

    ground.write(COMMON, "@app.job\ndef tomorrow(n):\n    return [n, current_job().attempt]")
    ground.worker()
    assert ground.app.handle(unknown, "default").result(timeout=10) == [7, 1]
    newer = ground.app.handle("newer", "default")
    wait_until(lambda: newer.status() in {"ready", "retrying"}, "the newer call is put back")
