"""All that depends on time, with a clock that is moved: in place, and with real workers."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobq import JobQ, JobState, Snooze, current_job
from jobq.errors import JobExpired
from jobq.testing import Ran, Session
from tests.support.process import Child
from tests.support.wait import wait_until

Spawn = Callable[..., Child]


def at(moments: list[datetime], test: Session) -> Callable[[], None]:
    """Return a job that notes when it runs."""
    return lambda: moments.append(test.now())


def names(ran: list[Ran]) -> list[str]:
    return [one.name for one in ran]


def near(found: list[datetime], expected: list[datetime]) -> bool:
    """Whether moments are as expected; each a little later at most, and never earlier."""
    pairs = zip(found, expected, strict=True)
    return all(timedelta() <= one - other < timedelta(seconds=20) for one, other in pairs)


# ------------------------------------------------------------------------------- delays


def test_delayed_jobs_run_when_they_are_due_and_no_earlier(test: Session, app: JobQ) -> None:
    moments: list[datetime] = []
    note = app.job(name="note")(at(moments, test))
    start = test.now()
    note.options(delay="10m").delay()
    high = note.options(at=start + timedelta(hours=1), priority="high").delay()
    note.options(delay="30m", queue="mail", priority="low").delay()
    calls = test.assert_enqueued(note, count=3)
    assert sorted(one.priority for one in calls) == ["high", "low", "normal"]
    assert near(
        sorted(one.due for one in calls if one.due),
        [start + timedelta(minutes=minutes) for minutes in (10, 30, 60)],
    )
    assert test.run_all() == []
    assert test.travel("9m59s", run=True) == []
    assert len(test.travel("2h", run=True)) == 3
    assert near(moments, [start + timedelta(minutes=minutes) for minutes in (10, 30, 60)])
    assert high.status() is JobState.SUCCEEDED


def test_a_delayed_job_that_became_due_waits_for_its_run(test: Session, app: JobQ) -> None:
    note = app.job(name="note")(lambda: None)
    handle = note.options(delay="1h").delay()
    assert handle.status() is JobState.DELAYED
    test.travel("2h")
    assert handle.status() is JobState.READY
    assert names(test.run_all()) == ["note"]


def test_the_third_retry_comes_when_its_backoff_says(test: Session, app: JobQ) -> None:
    moments: list[datetime] = []

    @app.job(name="fail", retries=3, backoff=["1m", "1h", "1d"])
    def fail() -> None:
        moments.append(test.now())
        raise ValueError

    handle = fail.delay()
    start = test.now()
    test.travel("26h", run=True)
    after = [timedelta(), timedelta(minutes=1), timedelta(minutes=61), timedelta(minutes=1501)]
    assert near(moments, [start + one for one in after])
    assert handle.status() is JobState.DEAD


def test_a_snooze_uses_no_attempt(test: Session, app: JobQ) -> None:
    attempts: list[int] = []

    @app.job(name="wait", retries=0)
    def wait() -> str:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise Snooze("10m")
        return "done"

    handle = wait.delay()
    test.run_all()
    assert test.travel("9m", run=True) == []
    test.travel("12m", run=True)
    assert attempts == [1, 1, 1]
    assert handle.result(timeout=0) == "done"


def test_what_has_waited_too_long_never_starts(test: Session, app: JobQ) -> None:
    late = app.job(name="late", expires="1h")(lambda: None)
    handle, dropped = late.delay(), late.options(on_expire="drop").delay()
    in_time = late.options(delay="1d").delay()
    test.travel("61m")
    assert test.run_all() == []
    for one in (handle, dropped):
        with pytest.raises(JobExpired):
            one.result(timeout=0)
    assert [one.id for one in test.dead_letters] == [handle.id]
    assert [one.job_id for one in test.travel("1d", run=True)] == [in_time.id]


# ------------------------------------------------------------------------------- uniqueness


def test_a_lock_ends_after_its_duration(test: Session, app: JobQ) -> None:
    report = app.job(name="report", unique="name", unique_for="1h")(lambda: None)
    first = report.delay()
    assert report.delay() == first
    test.run_all()
    test.travel("59m")
    assert report.delay() == first
    assert test.run_all() == []
    test.travel("2m")
    assert report.delay() != first
    assert len(test.run_all()) == 1


def test_the_last_call_runs_once_there_is_a_rest(test: Session, app: JobQ) -> None:
    @app.job(name="index", unique="name", debounce="5m", debounce_max="12m")
    def index(page: int) -> int:
        return page

    for page in range(3):
        index.delay(page)
        assert test.travel("3m", run=True) == []
    test.assert_enqueued(index, 2, count=1)
    assert [one.value for one in test.travel("2m", run=True)] == [2]
    start = test.now()
    ran: list[Ran] = []
    for page in range(10):
        index.delay(page)
        ran += test.travel("2m", run=True)
    # Put off for 12 minutes at most: at 12, and then at 19 or later.
    assert [one.value for one in ran] == [5]
    assert test.now() - start >= timedelta(minutes=20)


def test_a_throttled_call_runs_again_in_the_next_window(test: Session, app: JobQ) -> None:
    ping = app.job(name="ping", unique="name", throttle="2/1h")(lambda: None)
    for _ in range(5):
        ping.delay()
        test.run_all()
    test.travel("59m")
    ping.delay()
    assert test.run_all() == []
    test.travel("2m")
    ping.delay()
    assert len(test.run_all()) == 1


# ------------------------------------------------------------------------------- pauses


def test_a_pause_ends_by_itself(test: Session, app: JobQ) -> None:
    moments: list[datetime] = []
    note = app.job(name="note", queue="mail")(at(moments, test))
    other = app.job(name="other", queue="mail")(lambda: None)
    note.delay()
    other.delay()
    app.queue("mail").pause(for_="10m", reason="maintenance")
    assert test.run_all() == []
    test.travel("9m", run=True)
    assert moments == []
    test.travel("2m", run=True)
    assert len(moments) == 1
    app.queue("mail").pause(job="note", for_="10m")
    note.delay()
    other.delay()
    assert names(test.run_all()) == ["other"]
    assert names(test.travel("11m", run=True)) == ["note"]


# ------------------------------------------------------------------------------- schedules


def test_a_schedule_ticks_as_often_as_it_should(test: Session, app: JobQ) -> None:
    moments: list[datetime] = []
    tick = app.job(name="tick", every="30m")(at(moments, test))
    test.travel("2h")
    assert len(test.enqueued(tick)) == 4
    assert len(test.run_all()) == 4
    moments.clear()
    test.travel("2h", run=True)
    assert len(moments) == 4
    assert {one.minute for one in moments} == {0, 30}
    test.clock.travel("1d")  # at once, as if no worker had run: once for all that was missed
    assert len(test.run_all()) == 1


@pytest.mark.parametrize(
    ("zone", "expression", "start", "expected"),
    [
        # Clocks go from 2:00 to 3:00: at the first instant after the gap.
        (
            "Europe/Madrid",
            "30 2 * * *",
            "2030-03-29T12:00+00:00",
            ["2030-03-30T01:30", "2030-03-31T01:00", "2030-04-01T00:30"],
        ),
        # From 2:00 back to 1:00: once in the hour that comes twice.
        (
            "America/New_York",
            "30 1 * * *",
            "2030-11-02T12:00+00:00",
            ["2030-11-03T05:30", "2030-11-04T06:30"],
        ),
    ],
)
def test_schedules_keep_their_local_time_when_clocks_change(
    test: Session, app: JobQ, zone: str, expression: str, start: str, expected: list[str]
) -> None:
    moments: list[datetime] = []
    app.job(name="tick", cron=expression, tz=zone)(at(moments, test))
    test.clock.travel_to(datetime.fromisoformat(start))
    test.travel(timedelta(days=len(expected)), run=True)
    assert near(moments, [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in expected]), [
        one.astimezone(ZoneInfo(zone)) for one in moments
    ]


def test_a_schedule_that_a_program_adds_ticks_too(test: Session, app: JobQ) -> None:
    greet = app.job(name="greet")(lambda name: f"hello {name}")
    app.schedules.add("hourly", greet.s("ada"), every="1h")
    ran = test.travel("3h", run=True)
    assert [one.value for one in ran] == ["hello ada"] * 3
    assert app.schedules.pause("hourly")
    assert test.travel("3h", run=True) == []
    app.schedules.remove("hourly")


# ------------------------------------------------------------------------------- real workers

JOBS = """
from jobq import JobQ, Snooze

app = JobQ()
seen = []

@app.job(every="30m", misfire="all")
def tick() -> None: ...

@app.job(retries=1, backoff="1h")
def flaky() -> str:
    seen.append(1)
    if len(seen) == 1:
        raise ValueError
    return "done"

@app.job
def work(words: str) -> str:
    return words

@app.job(expires="1h", result_ttl="1h")
def late() -> None: ...
"""


@pytest.mark.slow
def test_real_workers_follow(
    test: Session, spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "moved_jobs.py").write_text(JOBS)
    worker = spawn("jobq", "worker", "--app", "moved_jobs:app", "--processes", "1", cwd=tmp_path)
    worker.wait_for_line("Ctrl-C")
    monkeypatch.syspath_prepend(str(tmp_path))
    app = test.use(__import__("moved_jobs").app)
    delayed = app.options(delay="12h").send("moved_jobs.work", "x")
    flaky = app.send("moved_jobs.flaky")
    wait_until(lambda: flaky.status() is JobState.RETRYING, "the first attempt has failed")
    assert delayed.status() is JobState.DELAYED
    test.clock.travel("13h")
    assert delayed.result(timeout=5) == "x"
    assert flaky.result(timeout=5) == "done"
    app.queue("default").pause(for_="2h")
    late = app.options(delay="30m").send("moved_jobs.late")
    test.clock.travel("3h")
    with pytest.raises(JobExpired):
        late.result(timeout=5)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
