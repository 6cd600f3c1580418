"""Ticks become jobs: once, on time, whatever was missed, whoever is killed, whoever declares."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from redis import Redis

from jobq import JobQ
from jobq.store import keys
from jobq.store.ops import upkeep
from jobq.store.ops.enqueue import register_queue
from jobq.store.sync import Store
from tests.conftest import StartServer
from tests.runtime.ticking import (
    Supervisor,
    made,
    moving_clock,
    past,
    travel,
    waiting,
)
from tests.support.server import Server

DAY = 86_400.0
HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _moving_clock(redis: Redis) -> Iterator[None]:
    with moving_clock():
        yield
    redis.delete(keys.CLOCK)


@pytest.fixture
def app(server: Server) -> Iterator[JobQ]:
    with JobQ(server.url, name="shop") as app:
        yield app


@pytest.fixture
def one(store: Store) -> Supervisor:
    store.run(upkeep.regroup("default"))
    for queue in ("default", "mail"):
        store.run(register_queue(queue))  # as supervisors do for the queues that they read
    return Supervisor(store)


def names(app: JobQ) -> list[str]:
    return [row.name for row in app.schedules.list()]


def work() -> None:
    """Do nothing."""


# ---------------------------------------------------------------------------- ticks


def test_each_tick_makes_one_job_however_many_supervisors_there_are(
    app: JobQ, one: Supervisor, store: Store
) -> None:
    app.job(name="work", every="1h")(work)
    every = [one, Supervisor(store), Supervisor(store)]
    for supervisor in every:
        supervisor.met(app).turn()
    for _ in range(3):
        travel(store, 3600)
        for _ in range(6):
            # All have asked before the first of them is answered.
            asked = [supervisor.ask() for supervisor in every]
            for supervisor, ops in zip(every, asked, strict=True):
                supervisor.hear(store.exchange(ops))
                supervisor.clock.now += 1
    ticks = made(store, "work")
    assert len(ticks) == 3
    assert [b - a for a, b in pairwise(ticks)] == [HOUR, HOUR]
    assert waiting(store) == 3


def test_a_tick_that_is_sent_twice_or_late_does_nothing(
    app: JobQ, one: Supervisor, store: Store
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    travel(store, 3600)
    one.clock.now += 1
    ticking = [op for op in one.ask() if op.script and op.script.name == "schedule_tick"]
    assert len(ticking) == 1
    answers = [store.run(ticking[0]).code for _ in range(3)]
    assert answers == [1, 0, 0]
    assert waiting(store) == 1


def test_who_does_not_know_the_job_function_leaves_its_ticks_to_others(
    app: JobQ, one: Supervisor, store: Store
) -> None:
    app.job(name="work", every="1h", misfire="all")(work)
    one.met(app).turn()
    other = Supervisor(store).met(None, "another app")
    travel(store, 2 * 3600)
    other.turn()
    assert made(store, "work") == []
    assert other.scheduler.next_ms is None
    one.turn()
    assert len(made(store, "work")) == 2


def test_never_early(app: JobQ, one: Supervisor, store: Store) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    ahead = Supervisor(store).met(app)
    ahead.turn()
    known = next(iter(ahead.scheduler._table))
    known.fires_ms = 0.0  # whoever thinks that it is time is told that it is not
    ahead.turn()
    assert made(store, "work") == []


def test_the_next_tick_is_told_to_the_round(app: JobQ, one: Supervisor, store: Store) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    now = store.run(upkeep.time_ms())
    assert one.scheduler.next_ms is not None
    assert one.scheduler.next_ms % HOUR == 0
    assert 0 < one.scheduler.next_ms - now <= HOUR


@pytest.mark.parametrize(
    ("misfire", "jobs", "missed"), [("skip", 0, 24), ("once", 1, 23), ("all", 10, 14)]
)
def test_a_day_without_supervisors(
    app: JobQ, one: Supervisor, store: Store, misfire: str, jobs: int, missed: int
) -> None:
    options = {"misfire_max": 10} if misfire == "all" else {}
    app.job(name="work", every="1h", misfire=misfire, **options)(work)  # type: ignore[call-overload]
    one.met(app).turn()
    # To the half hour: a tick is on time for a minute.
    now = store.run(upkeep.time_ms())
    travel(store, DAY + (1.5 * HOUR - now % HOUR) / 1000 - 3600)
    begun = store.run(upkeep.time_ms())
    Supervisor(store).met(app).turn()
    assert waiting(store) == jobs
    ticks = past(store, "work")
    lost = [int(tick.outcome.partition(":")[2]) for tick in ticks if "missed" in tick.outcome]
    assert sum(lost) + jobs in {24, 25}  # one more, where the day began just before the hour
    assert missed <= sum(lost) <= missed + 1
    if jobs:
        newest = begun // HOUR * HOUR
        assert made(store, "work") == [newest - HOUR * n for n in reversed(range(jobs))]
    travel(store, 1801)
    one.turn()
    assert waiting(store) == jobs + 1, "and then as ever"


@pytest.mark.parametrize(("overlap", "jobs"), [("allow", 3), ("skip", 1), ("queue", 1)])
def test_a_job_that_has_not_ended(
    app: JobQ, one: Supervisor, store: Store, redis: Redis, overlap: str, jobs: int
) -> None:
    app.job(name="work", every="1h", overlap=overlap)(work)  # type: ignore[call-overload]
    one.met(app).turn()
    for _ in range(3):
        travel(store, 3600)
        one.turn()
    assert waiting(store) == jobs
    outcomes = [tick.outcome for tick in past(store, "work")]
    words = {"allow": ["", "", ""], "skip": ["", *2 * ["skipped"]], "queue": ["", *2 * ["queued"]]}
    assert outcomes == words[overlap]
    if overlap != "queue":
        return
    for left in (2, 1, 0):
        assert waiting(store) == 1
        ended = past(store, "work")[2 - left].job_id
        redis.hdel(keys.index("default"), ended)  # as if it had ended
        redis.delete(keys.jobs("default"))
        store.run(upkeep.regroup("default"))
        one.turn()
    assert [tick.outcome for tick in past(store, "work")] == 3 * ["succeeded"]
    assert len(set(made(store, "work"))) == 3
    assert waiting(store) == 0


def test_no_more_than_a_hundred_ticks_wait(app: JobQ, one: Supervisor, store: Store) -> None:
    app.job(name="work", every="1m", overlap="queue", misfire="all", misfire_max=1000)(work)
    one.met(app).turn()
    travel(store, 110 * 60)
    one.turn(16)
    outcomes = [tick.outcome for tick in past(store, "work")]
    assert len(outcomes) == 100, "and no longer past is kept"
    assert outcomes.count("skipped") in {9, 10}
    assert waiting(store) == 1


def test_many_missed_ticks_come_in_order(app: JobQ, one: Supervisor, store: Store) -> None:
    app.job(name="work", every="1m", misfire="all", misfire_max=90)(work)
    one.met(app).turn()
    travel(store, 120 * 60)
    one.turn(16)
    ticks = made(store, "work")
    assert len(ticks) == 90
    assert ticks == sorted(set(ticks))
    assert waiting(store) == 90


# ---------------------------------------------------------------------------- outcomes


def test_outcomes_are_noted_while_they_can_be_told(
    app: JobQ, one: Supervisor, store: Store, redis: Redis
) -> None:
    app.job(name="work", every="1h", misfire="all")(work)
    one.met(app).turn()
    travel(store, 3 * 3600)
    one.turn()
    first, second, _third = (tick.job_id for tick in past(store, "work"))
    redis.hdel(keys.index("default"), first)
    app.handle(second, "default").cancel()
    one.turn()
    assert [tick.outcome for tick in past(store, "work")] == ["succeeded", "cancelled", ""]


# ---------------------------------------------------------------------------- declarations


def test_what_the_code_declares_is_there_and_what_changed_is_replaced(
    app: JobQ, one: Supervisor, store: Store, server: Server
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    travel(store, 3600)
    one.turn()
    before = app.schedules.get("work")
    assert (before.owner, before.rule, len(before.past)) == ("shop", "every 1 h", 1)
    app.schedules.pause("work")
    travel(store, 5)
    with JobQ(server.url, name="shop") as newer:
        newer.job(name="work", every="2h", overlap="skip")(work)
        new = Supervisor(store).met(newer)
        new.turn()
        after = newer.schedules.get("work")
        assert after.rule == "every 2 h"
        assert after.paused_at is not None
        assert after.past == before.past
        # In a rolling deploy, the older code does not turn it back.
        one.turn(24)
        assert newer.schedules.get("work").rule == "every 2 h"


def test_a_schedule_that_vanished_is_removed_after_its_grace(
    app: JobQ, one: Supervisor, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    newer, other = Supervisor(store).met(None), Supervisor(store).met(None)
    stranger = Supervisor(store).met(None, "another app")
    for supervisor in (newer, other, stranger):
        supervisor.turn()
    travel(store, 299)
    one.turn(12)  # an old worker lives still, and says so
    travel(store, 299)
    for supervisor in (newer, other, stranger):
        supervisor.clock.now += 600
        supervisor.turn()
    assert names(app) == ["work"]
    travel(store, 2)
    stranger.clock.now += 600
    stranger.turn()
    assert names(app) == ["work"], "it is not for others to judge"
    for supervisor in (newer, other):
        supervisor.clock.now += 600
        supervisor.turn()
    assert app.schedules.list() == []
    told = [line for line in caplog.messages if line.startswith("removed schedule")]
    assert len(told) == 1
    assert "schedule=work" in told[0]


def test_a_new_supervisor_waits_for_the_grace_itself(
    app: JobQ, one: Supervisor, store: Store
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    travel(store, 10 * DAY)
    newer = Supervisor(store).met(None)
    newer.turn(20)
    assert names(app) == ["work"]


def test_a_job_function_that_moves_to_another_queue_takes_its_schedule_along(
    app: JobQ, one: Supervisor, store: Store, server: Server
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    travel(store, 5)
    with JobQ(server.url, name="shop") as newer:
        newer.job(name="work", every="1h", queue="mail")(work)
        moved = Supervisor(store, ("mail",)).met(newer)
        moved.turn()
        one.turn(24)  # the old one says again and again that it is where it was
        assert [(row.name, row.queue) for row in newer.schedules.list()] == [("work", "mail")]


def test_two_of_one_name_are_told_with_the_fix(
    app: JobQ, one: Supervisor, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    function = app.job(name="work", every="1h")(work)
    app.schedules.add("work", function.s(), every="2h")
    one.met(app).turn(24)
    assert app.schedules.get("work").rule == "every 2 h"
    told = [line for line in caplog.messages if line.startswith("left out schedule")]
    assert len(told) == 1
    assert "jobq schedule remove work" in told[0]


# ---------------------------------------------------------------------------- trouble


def test_garbage_stops_no_other_schedule(
    app: JobQ,
    one: Supervisor,
    store: Store,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.job(name="work", every="1h")(work)
    one.met(app).turn()
    for name in ("junk", "older", "halved"):
        app.schedules.add(name, app.options().s("work"), every="1h")
    redis.hset(keys.schedules("default"), "djunk", b"\xff\xfe")
    redis.hset(keys.schedules("default"), "dolder", b"\x91\x02")
    redis.hset(keys.schedules("default"), "thalved", b"soon")
    redis.hset(keys.schedules("default"), "n", b"not a number")
    redis.zadd(keys.ticks("default"), {"nobody": 1.0})
    travel(store, 2 * 3600)
    one.turn(20)
    assert len(made(store, "work")) == 1
    told = [line for line in caplog.messages if line.startswith("left out")]
    assert len(told) == 3
    for name in ("junk", "older", "halved"):
        app.schedules.remove(name)
    assert len(app.schedules.list()) == 1


def test_keys_of_another_type_stop_no_other_queue(
    app: JobQ, store: Store, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    app.job(name="work", every="1h")(work)
    redis.set(keys.schedules("mail"), "a string")
    redis.set(keys.ticks("bulk"), "a string")
    store.run(upkeep.regroup("default"))
    one = Supervisor(store, ("mail", "bulk", "default")).met(app)
    one.turn()
    travel(store, 3600)
    one.turn(16)
    assert len(made(store, "work")) == 1
    assert 1 <= len([line for line in caplog.messages if "refused by redis" in line]) <= 3


def test_a_full_redis_makes_the_job_once_it_has_room(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    own = start_server()
    with JobQ(own.url, name="shop") as app:
        app.store.run(upkeep.regroup("default"))
        one = Supervisor(app.store)
        app.job(name="work", every="1h")(work)
        one.met(app).turn()
        travel(app.store, 3600)
        own.cli("CONFIG", "SET", "maxmemory", "1")
        one.turn(12)
        assert waiting(app.store) == 0
        own.cli("CONFIG", "SET", "maxmemory", "0")
        one.turn(12)
        assert waiting(app.store) == len(made(app.store, "work")) == 1
    told = [line for line in caplog.messages if line.startswith("refused by redis")]
    assert 1 <= len(told) <= 3, "once for each kind of step"
