"""Schedules with real workers: stopped for a day, overlapping, deployed, signed."""

from collections.abc import Iterator

import pytest

from jobq import JobQ
from jobq.store import clock, keys
from jobq.store.ops import upkeep
from tests.scenario.ground import PATIENCE, Ground, resident_mb
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

MISFIRES = """
@app.job(every="1h", misfire="skip")
def skips(): pass

@app.job(every="1h")
def once(): pass

@app.job(cron="0 * * * *", tz="Asia/Kolkata", misfire="all", misfire_max=10)
def every(): pass
"""

SLOW = """
@app.job(every="1s", overlap="skip")
def skips():
    trace("skips", "+", time.monotonic())
    time.sleep(2.2)
    trace("skips", "-", time.monotonic())

@app.job(every="2s", overlap="queue")
def queues():
    trace("queues", "+", time.monotonic())
    time.sleep(3)
    trace("queues", "-", time.monotonic())
"""


@pytest.fixture
def travelling(ground: Ground) -> Iterator[Ground]:
    before = clock.obey_test_clock()
    ground.env["JOBQ_TEST_CLOCK"] = "1"
    yield ground
    clock.obey_test_clock(obey=before)
    ground.redis.delete(keys.CLOCK)


def test_a_day_without_a_supervisor(travelling: Ground) -> None:
    ground = travelling
    ground.write(MISFIRES)
    worker = ground.worker()
    wait_until(lambda: len(ground.app.schedules.list()) == 3, "they are declared", PATIENCE)
    worker.kill_group()
    run = ground.app.store.run
    now = run(upkeep.time_ms())
    # To 20 minutes past an hour in UTC, and so before the half hour at which it ticks in Kolkata.
    run(clock.move(86_400_000 + 3_600_000 - now % 3_600_000 + 1_200_000))
    ground.worker()

    def made(name: str) -> tuple[int, int]:
        past = ground.app.schedules.get(f"jobs.{name}").past
        jobs = sum(bool(one.job_id) for one in past)
        return jobs, sum(one.many for one in past if one.outcome == "missed")

    wait_until(lambda: made("once")[0] and made("every")[0] and made("skips")[1], "all", PATIENCE)
    assert made("skips")[0] == 0
    assert 24 <= made("skips")[1] <= 26
    assert made("once")[0] == 1
    assert 23 <= made("once")[1] <= 25
    assert made("every")[0] == 10
    assert 14 <= made("every")[1] <= 16
    ground.wait_empty()
    wait_until(
        lambda: all(
            one.outcome in {"succeeded", "missed"}
            for name in ("skips", "once", "every")
            for one in ground.app.schedules.get(f"jobs.{name}").past
        ),
        "all outcomes are noted",
        PATIENCE,
    )
    run(clock.move(10 * 60_000 + 1000))  # the half hour
    wait_until(lambda: made("every")[0] == 11, "it ticks in its time zone", PATIENCE)
    tick = ground.app.schedules.get("jobs.every").past[0].nominal_at
    assert tick is not None
    assert tick.minute == 30


def test_jobs_that_take_longer_than_their_interval(ground: Ground) -> None:
    ground.write(SLOW)
    ground.worker("--threads", "8")
    ground.worker("--threads", "8")
    ground.wait_traced("skips", 6)
    ground.wait_traced("queues", 8)
    for name in ("skips", "queues"):
        signs = [words[0] for words in sorted(ground.traced(name), key=lambda one: float(one[1]))]
        assert signs == ["+-"[n % 2] for n in range(len(signs))], "never two at once"
    past = ground.app.schedules.get("jobs.skips").past
    assert any(one.outcome == "skipped" for one in past)
    row = ground.app.schedules.get("jobs.queues")
    assert row.waiting >= 1
    assert any(one.outcome == "queued" for one in row.past)
    assert not any(one.outcome == "skipped" for one in row.past)


def test_ticks_come_on_time_and_run_time_schedules_within_a_second(ground: Ground) -> None:
    ground.write("@app.job\ndef work(n):\n    trace('ran', n)\n")
    ground.worker()
    ground.app.schedules.add("extra", ground.app.options().s("jobs.work", 7), every="1s")
    ground.wait_traced("ran", 6)
    past = ground.app.schedules.get("extra").past
    lag = sorted((one.fired_at - one.nominal_at).total_seconds() for one in past if one.nominal_at)
    assert lag[0] >= 0, "never early"
    assert lag[len(lag) // 2] < 0.1
    ground.app.schedules.remove("extra")
    ground.wait_empty()


def test_a_rolling_deploy_takes_a_schedule_along(ground: Ground) -> None:
    ground.write("@app.job(every='1s')\ndef work():\n    trace('old')\n")
    old = ground.worker()
    ground.wait_traced("old", 2)
    ground.write("@app.job(every='1s', queue='mail')\ndef work():\n    trace('new')\n")
    ground.worker("-q", "default", "-q", "mail")
    ground.wait_traced("new", 2)
    rows = ground.app.schedules.list()
    assert [(row.name, row.queue) for row in rows] == [("jobs.work", "mail")]
    many = len(ground.traced("old"))
    ground.wait_traced("new", 14, timeout=60)  # the old one has said again what it declares
    assert len(ground.traced("old")) <= many + 1
    assert old.running
    assert [row.queue for row in ground.app.schedules.list()] == ["mail"]


def test_a_supervisor_with_schedules_is_small(ground: Ground) -> None:
    ground.write(MISFIRES, "@app.job(every='1s')\ndef work():\n    trace('ran')\n")
    worker = ground.worker()
    ground.wait_traced("ran", 3)
    assert resident_mb(worker.pid) <= 30


def test_signed_schedules_run_signed_jobs(ground: Ground) -> None:
    ground.env["JOBQ_SIGNING_KEYS"] = "one:a secret of many bytes"
    ground.write("@app.job(every='1s')\ndef work():\n    trace('ran')\n")
    ground.worker()
    ground.wait_traced("ran", 2)
    with JobQ(ground.server.url, signing_keys={"one": "a secret of many bytes"}) as app:
        assert app.schedules.run_now("jobs.work").result(timeout=PATIENCE) is None
        assert app.schedules.get("jobs.work").problem == ""
    said = ground.start("jobq", "schedule", "run", "jobs.work").check(PATIENCE)
    assert "Enqueued" in said
    assert ground.dead() == []
