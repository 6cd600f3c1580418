"""Numbers that nobody could mean, in the places of times and counters: they are passed over."""

from redis import Redis

from jobq import JobQ
from jobq.core.pauses import read_record
from jobq.core.timetable import PastTick
from jobq.store import keys
from jobq.store.ops import inspect, move, pause, schedules

#: More digits than Python reads, and more than a float can hold.
HUGE = (b"9" * 5000, b"9" * 400)


def test_a_round_goes_on_over_huge_numbers(redis: Redis, redis_url: str) -> None:
    run = JobQ(redis_url).store.run
    for number in HUGE:
        redis.hset(keys.pauses("mail"), mapping={"one": number + b" 0 ", "two": b"0 %b " % number})
        found = run(pause.look("mail")).records
        assert [(one.job, one.since_ms, one.until_ms) for one in found] == [
            ("one", 0, None),
            ("two", 0, None),
        ]
        for letter, value in {"d": b"-", "o": b"0 %b app" % number, "p": number}.items():
            redis.hset(keys.schedules("mail"), f"{letter}bad", value)
        redis.zadd(keys.ticks("mail"), {"bad": float("-inf")})
        (row,) = run(schedules.page("mail")).rows
        assert (row.seen_ms, row.paused_ms, row.fires_ms) == (0, None, 0.0)
        redis.hset(keys.meta("mail"), "succeeded", number)
        assert run(inspect.count("mail")).totals["succeeded"] == 0
        redis.hset(keys.delayed("mail"), "id", number + b" j call")
        assert run(move.delayed("mail"))[0][0].enqueued_ms == 0
        redis.hset(keys.WORKERS, "one", number + b" record")
        assert run(inspect.workers()) == []
        assert PastTick.read(f"{number.decode()} 1 - -") is None


def test_a_record_that_is_not_whole_never_ends() -> None:
    """So it is in the scripts, which alone can end a pause."""
    assert read_record("*", b"5 7").until_ms is None
    assert read_record("*", b"5 7 ").until_ms == 7
