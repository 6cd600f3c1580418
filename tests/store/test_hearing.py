"""Which dead letters hooks have not heard of: noted with the burial, taken by one at a time."""

from dataclasses import replace

from redis import Redis

from jobq.store import keys
from jobq.store.ops import hearing, settle
from tests.store.line import Line
from tests.support.wait import wait_until

KEY = keys.unheard("mail")


def bury(line: Line, job_id: str, unheard: int | None) -> None:
    attempt = replace(line.start(job_id), unheard=unheard)
    assert line.run(settle.bury(attempt, b"call", b"letter", 0, b""))


def test_only_where_hooks_are_it_is_noted(line: Line, redis: Redis) -> None:
    bury(line, "a", None)
    assert not redis.exists(KEY)
    bury(line, "b", 0)
    assert redis.zrange(KEY, 0, -1) == [b"b"]


def test_it_is_taken_by_one(line: Line, redis: Redis) -> None:
    bury(line, "a", 0)
    taken = line.run(hearing.hear("mail", ms=60_000))
    assert taken is not None
    assert taken.dead is not None
    assert (taken.job_id, taken.dead.call, taken.dead.letter) == ("a", b"call", b"letter")
    assert line.run(hearing.hear("mail", ms=60_000)) is None
    assert line.run(hearing.heard("mail", taken))
    assert not line.run(hearing.heard("mail", taken))
    assert not redis.exists(KEY)


def test_who_buried_it_comes_first_and_others_when_it_does_not(line: Line) -> None:
    bury(line, "a", 60_000)
    bury(line, "b", 20)
    assert line.run(hearing.hear("mail", "a", ms=60_000)) is not None
    assert line.run(hearing.hear("mail", "nobody", ms=60_000)) is None
    taken = wait_until(lambda: line.run(hearing.hear("mail", ms=60_000)), "its time has come")
    assert taken.job_id == "b"


def test_one_that_was_retried_or_removed_is_forgotten(line: Line, redis: Redis) -> None:
    bury(line, "a", 0)
    assert line.revive("a", line.letters()["a"])
    taken = line.run(hearing.hear("mail", ms=60_000))
    assert taken is not None
    assert taken.dead is None
    assert not redis.exists(KEY)


def test_one_that_died_again_is_told_again(line: Line) -> None:
    bury(line, "a", 0)
    first = line.run(hearing.hear("mail", ms=60_000))
    assert first is not None
    assert line.revive("a", line.letters()["a"])
    (attempt,) = line.read()
    assert line.run(settle.bury(replace(attempt, unheard=0), b"call", b"other", 0, b""))
    assert not line.run(hearing.heard("mail", first))
    again = line.run(hearing.hear("mail", ms=60_000))
    assert again is not None
    assert again.dead is not None
    assert again.dead.letter == b"other"


def test_a_stranger_breaks_nothing(line: Line, redis: Redis) -> None:
    redis.zadd(KEY, {b"\xff": 0, b"a": 0, b"b": 0})
    redis.hset(keys.index("mail"), mapping={"a": "xgarbage", "b": "x1-1"})
    for _ in range(3):
        taken = line.run(hearing.hear("mail", ms=60_000))
        assert taken is not None
        assert taken.dead is None
    assert not redis.exists(KEY)
    redis.hdel(keys.index("mail"), "a", "b")
