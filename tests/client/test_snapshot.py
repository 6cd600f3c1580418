"""How fast queues go, and what Redis tells of itself."""

import math
from datetime import UTC, datetime, timedelta

from jobq.client.numbers import Point
from jobq.client.snapshot import rates, read_queues, redis_state
from jobq.core.tally import Tally
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops.upkeep import time_ms
from jobq.store.sync import Store
from tests.support.server import Server

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def minute(number: int, enqueued: int, started: int) -> Point:
    """Return what was counted in a minute after noon."""
    at = NOON + timedelta(minutes=number)
    return Point(at, "mail", "*", Tally(enqueued=enqueued, started=started))


def test_a_queue_is_as_fast_as_since_something_was_processed() -> None:
    """Not slower for the minutes before its first worker started."""
    points = [minute(0, 6000, 0), minute(1, 0, 0), minute(2, 0, 600), minute(3, 0, 300)]
    seen = rates(5100, False, points, NOON + timedelta(minutes=3, seconds=30))
    assert seen.processed == 900 / 90
    assert seen.enqueued == 6000 / 210
    assert seen.backlog == 510


def test_a_queue_in_which_nothing_happens() -> None:
    assert rates(0, False, [], NOON).backlog == 0
    assert rates(1, False, [], NOON).backlog == math.inf
    assert rates(1, True, [minute(0, 1, 1)], NOON).backlog is None


def test_a_clock_that_was_set_back_makes_no_speed_of_light() -> None:
    seen = rates(10, False, [minute(5, 10, 10)], NOON)
    assert (seen.enqueued, seen.processed) == (10, 10)


def test_jobs_that_take_longer_than_minutes_count_by_the_hour(server: Server) -> None:
    store = Store(lambda: parse_url(server.url))
    now = store.run(time_ms())
    slow = now // 3_600_000 - 1
    # {t: 36}: so many attempts that were started, an hour ago.
    server.cli("SADD", keys.QUEUES, "mail")
    server.cli("HSET", keys.totals("mail"), "render", b"\x81\xa1t\x24")
    server.cli("HSET", keys.hours("mail", slow // 24, "render"), slow, b"\x81\xa1t\x24")
    server.cli("PEXPIRE", keys.hours("mail", slow // 24, "render"), 60_000)
    server.cli("HSET", keys.index("mail"), "job", "j0-1")
    readings, refused = read_queues(store)
    store.close()
    assert not refused
    assert readings[0].counted.ready == 1
    at_most = (now - slow * 3_600_000) / 1000 + 60
    assert 36 / at_most <= readings[0].rates.processed <= 36 / 3600
    assert (readings[0].rates.backlog or 0) > 0
    server.cli("FLUSHALL")


def test_what_redis_tells_may_be_anything() -> None:
    said = {
        "server_name": "valkey",
        "valkey_version": "9.1.0",
        "used_memory": "1000",
        "maxmemory": "0",
        "mem_fragmentation_ratio": "nan",
        "evicted_keys": "-1",
        "rdb_last_bgsave_status": "ok",
        "aof_last_write_status": "err",
    }
    seen = redis_state(said, 0.1)
    assert (seen.version, seen.memory, seen.memory_limit) == ("valkey 9.1.0", 1000, None)
    assert (seen.fragmentation, seen.evicted, seen.persisted) == (None, None, False)
    assert redis_state({"redis_version": "6.2.1"}, 0.1).version == "redis 6.2.1"
