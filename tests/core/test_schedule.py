"""Schedules: their options, their ticks, their way through bytes, and the rule of misfires."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobq.core.duration import MAX_SECONDS
from jobq.core.options import SCHEDULE_OPTIONS
from jobq.core.schedule import (
    DEFAULT_MISFIRE_MAX,
    MAX_SCHEDULE_CHARS,
    MOST_COUNTED,
    MOST_MISFIRES,
    ON_TIME,
    Due,
    Schedule,
    check_schedule_name,
    due_ticks,
    parse_schedule,
    schedule_name,
)
from jobq.errors import CallUnreadable, OptionError

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
YEAR = 365 * DAY
#: 2026-11-24 12:00 UTC.
NOON = 1_795_521_600_000


def schedule(name: str = "mail.digest", /, **given: object) -> Schedule:
    return parse_schedule(name, given, "@job")


EVERYS = st.builds(
    lambda every, share, misfire, overlap: schedule(
        every=every, jitter=int(every * share), misfire=misfire, overlap=overlap
    ),
    st.integers(1, 100_000),
    st.floats(0, 0.9),
    st.sampled_from(["skip", "once", "all"]),
    st.sampled_from(["allow", "skip", "queue"]),
)
CRONS = st.builds(
    lambda cron, tz, misfire, most, jitter: schedule(
        cron=cron,
        tz=tz,
        misfire=misfire,
        jitter=jitter,
        **({"misfire_max": most} if misfire == "all" else {}),
    ),
    st.sampled_from(["* * * * *", "*/7 9-17 * * *", "30 2 * * *", "0 0 29 2 *", "H H * * mon"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.sampled_from(["skip", "once", "all"]),
    st.integers(1, 1000),
    st.integers(0, 59),
)
INSTANTS = st.integers(0, 130 * YEAR)


# ---------------------------------------------------------------------------- options


def test_defaults() -> None:
    assert schedule(every="30s") == Schedule("mail.digest", every=30.0)
    assert schedule(cron="0 9  * * mon-fri") == Schedule("mail.digest", cron="0 9 * * mon-fri")
    plain = schedule(every=1)
    assert (plain.tz, plain.misfire, plain.misfire_max) == ("UTC", "once", DEFAULT_MISFIRE_MAX)
    assert (plain.overlap, plain.jitter) == ("allow", 0.0)


def test_all_options() -> None:
    given: dict[str, object] = {
        "cron": "0 9 * * *", "tz": "Europe/Madrid", "misfire": "all", "misfire_max": 7,
        "overlap": "queue", "jitter": "5m",
    }  # fmt: skip
    assert {*given, "every"} == SCHEDULE_OPTIONS
    assert schedule(**given) == Schedule(
        "mail.digest", "0 9 * * *", None, "Europe/Madrid", "all", 7, "queue", 300.0
    )
    assert schedule(every=timedelta(minutes=1), jitter="59.999s").jitter == 59.999


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "neither"),
        ({"cron": "* * * * *", "every": 5}, "cron and every are both"),
        ({"tz": "UTC"}, "neither"),
        ({"misfire": "once"}, "neither"),
        ({"every": 5, "tz": "UTC"}, "tz"),
        ({"every": 0.999}, "every"),
        ({"every": 0}, "every"),
        ({"every": -1}, "every"),
        ({"every": float("nan")}, "every"),
        ({"every": float("inf")}, "every"),
        ({"every": MAX_SECONDS * 2}, "every"),
        ({"every": "soon"}, "every"),
        ({"every": None}, "every"),
        ({"every": True}, "every"),
        ({"every": [5]}, "every"),
        ({"cron": None}, "cron"),
        ({"cron": 5}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "* * * * *", "tz": "Europe/Madird"}, "tz"),
        ({"cron": "* * * * *", "tz": None}, "tz"),
        ({"every": 5, "misfire": "never"}, "misfire"),
        ({"every": 5, "misfire": None}, "misfire"),
        ({"every": 5, "misfire": ["all"]}, "misfire"),
        ({"every": 5, "misfire_max": 5}, "misfire_max"),
        ({"every": 5, "misfire": "once", "misfire_max": 5}, "misfire_max"),
        ({"every": 5, "misfire": "all", "misfire_max": 0}, "misfire_max"),
        ({"every": 5, "misfire": "all", "misfire_max": MOST_MISFIRES + 1}, "misfire_max"),
        ({"every": 5, "misfire": "all", "misfire_max": True}, "misfire_max"),
        ({"every": 5, "misfire": "all", "misfire_max": "5"}, "misfire_max"),
        ({"every": 5, "overlap": "drop"}, "overlap"),
        ({"every": 5, "overlap": False}, "overlap"),
        ({"every": 5, "jitter": 5}, "jitter"),
        ({"every": 5, "jitter": -1}, "jitter"),
        ({"every": 5, "jitter": float("nan")}, "jitter"),
        ({"every": 5, "jitter": None}, "jitter"),
        ({"cron": "*/5 * * * *", "jitter": "5m"}, "jitter"),
        ({"every": 5, "priority": "low"}, "unknown option 'priority'"),
        ({"every": 5, 5: 5}, "unknown option"),
    ],
)
def test_refused_at_declaration(given: dict[str, Any], option: str) -> None:
    with pytest.raises(OptionError, match=f"^@job: {option}") as refused:
        parse_schedule("mail.digest", given, "@job")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["a", "mail.digest", "tenant-7/é".replace("é", "e"), "~" * 100])
def test_names(name: str) -> None:
    assert check_schedule_name(name) == name
    assert schedule_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a{b", "a}b", "a\nb", "é", "a\x7f", "x" * 101, None, 5, b"a"]
)
def test_names_that_are_refused(name: Any) -> None:
    with pytest.raises(OptionError, match="@job: the name of a schedule"):
        parse_schedule(name, {"every": 5}, "@job")


@given(st.text(min_size=1, max_size=200))
def test_each_job_function_has_a_name_for_its_schedule(name: str) -> None:
    assert check_schedule_name(schedule_name(name))


def test_names_made_to_fit_stay_apart() -> None:
    assert schedule_name("send mail") == "send_mail~4e6363c5"
    long = ["m" * 150 + "a", "m" * 150 + "b"]
    assert len(set(map(schedule_name, long))) == 2
    assert {len(schedule_name(name)) for name in long} == {MAX_SCHEDULE_CHARS}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"every": 30}, "every 30 s"),
        ({"every": "1h30m"}, "every 1 h 30 m"),
        ({"cron": "0 9 * * mon-fri", "tz": "Europe/Madrid"}, "0 9 * * mon-fri (Europe/Madrid)"),
        ({"cron": "@daily"}, "@daily (UTC)"),
    ],
)
def test_descriptions(given: dict[str, Any], said: str) -> None:
    assert schedule(**given).describe() == said


# ---------------------------------------------------------------------------- ticks


@settings(max_examples=40)
@given(EVERYS | CRONS, INSTANTS)
def test_ticks_are_the_same_from_both_sides(rule: Schedule, now: int) -> None:
    after, before = rule.next_after(now), rule.last_before(now)
    assert after > now
    assert rule.last_before(after) == after
    assert rule.last_before(after - 1) == before
    assert before is None or before <= now < rule.next_after(before)


def test_every_counts_from_1970() -> None:
    assert schedule(every="30s").next_after(NOON) == NOON + 30 * SECOND
    assert schedule(every="30s").last_before(NOON) == NOON
    assert schedule(every="1.5s").next_after(NOON + 1) == NOON + 1500
    assert schedule(every="1d").next_after(NOON) % DAY == 0
    assert schedule(every=1).last_before(-1) is None
    assert schedule(every=1.0004).every == 1.0


@settings(max_examples=40)
@given(EVERYS | CRONS, INSTANTS)
def test_jitter_is_the_same_everywhere_and_less_than_a_gap(rule: Schedule, now: int) -> None:
    tick = rule.next_after(now)
    fires = rule.fires_at(tick)
    assert tick <= fires <= tick + rule.jitter * 1000
    assert fires == Schedule.from_wire(rule.to_wire()).fires_at(tick)
    assert rule.jitter or fires == tick


def test_jitter_uses_all_of_its_time() -> None:
    rule = schedule(every=60, jitter=10)
    delays = [rule.fires_at(tick) - tick for tick in range(NOON, NOON + 60_000_000, 60_000)]
    assert min(delays) < 100
    assert max(delays) > 9900
    for tenth in range(0, 10_000, 1000):
        assert 60 < sum(tenth <= delay < tenth + 1000 for delay in delays) < 140
    other = schedule("other", every=60, jitter=10)
    assert other.fires_at(NOON) != rule.fires_at(NOON)


def test_croniter_costs_only_those_who_use_cron() -> None:
    code = (
        "import sys\nfrom jobq.core.schedule import parse_schedule\n"
        "parse_schedule('a', {'every': '30s', 'jitter': 5}, '@job').next_after(0)\n"
        "heavy = {'croniter', 'dateutil'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "parse_schedule('a', {'cron': '0 9 * * *', 'tz': 'Europe/Madrid'}, '@job')\n"
        "assert 'croniter' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30)


# ---------------------------------------------------------------------------- bytes


@settings(max_examples=40)
@given(EVERYS | CRONS)
def test_a_schedule_survives_bytes(rule: Schedule) -> None:
    assert Schedule.from_wire(msgpack.unpackb(msgpack.packb(rule.to_wire()))) == rule
    assert Schedule.from_wire(json.loads(json.dumps(rule.to_wire()))) == rule


def test_the_format() -> None:
    rule = schedule(cron="0 9 * * *", tz="Europe/Madrid", jitter=1.5)
    assert rule.to_wire() == [
        1, "mail.digest", "0 9 * * *", None, "Europe/Madrid", "once", 100, "allow", 1500,
    ]  # fmt: skip
    assert schedule(every=30).to_wire()[2:4] == [None, 30_000]


def test_a_newer_format_says_so() -> None:
    with pytest.raises(CallUnreadable, match="format 2 is newer"):
        Schedule.from_wire([2, "what", "ever"])


GOOD = schedule(every=30, misfire="all", jitter=1).to_wire()
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.binary(max_size=20), st.lists(st.integers(), max_size=3), st.just(10**400),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)  # fmt: skip


@given(st.integers(0, len(GOOD) - 1), JUNK)
def test_garbage_in_a_field(index: int, junk: object) -> None:
    data = list(GOOD)
    data[index] = junk
    try:
        read = Schedule.from_wire(data)
    except CallUnreadable:
        return
    assert Schedule.from_wire(read.to_wire()) == read


@given(JUNK | st.lists(JUNK, max_size=12))
def test_garbage(data: object) -> None:
    with pytest.raises(CallUnreadable):
        Schedule.from_wire(data)


# ---------------------------------------------------------------------------- misfires

#: When the supervisor was last there, for a schedule that ticks each hour.
LEFT = NOON - DAY


def hours(*numbers: int) -> tuple[int, ...]:
    """Ticks, by the hours after the supervisor left."""
    return tuple(LEFT + number * HOUR for number in numbers)


@pytest.mark.parametrize("when", [{"every": "1h"}, {"cron": "0 * * * *"}])
@pytest.mark.parametrize(
    ("misfire", "late", "expected"),
    [
        # Down for a day: the tick of now is on time, 23 before it were missed.
        ("skip", 0, Due(hours(24), 23, *hours(25))),
        ("skip", ON_TIME, Due(hours(24), 23, *hours(25))),
        ("skip", ON_TIME + 1, Due((), 24, *hours(25))),
        ("skip", HOUR - 1, Due((), 24, *hours(25))),
        ("once", 0, Due(hours(24), 23, *hours(25))),
        ("once", HOUR - 1, Due(hours(24), 23, *hours(25))),
        ("all", 0, Due(hours(*range(1, 25)), 0, *hours(25))),
        ("all", HOUR - 1, Due(hours(*range(1, 25)), 0, *hours(25))),
    ],
)
def test_a_supervisor_that_was_down_for_a_day(
    when: dict[str, Any], misfire: str, late: int, expected: Due
) -> None:
    rule = schedule(misfire=misfire, **when)
    assert due_ticks(rule, LEFT + HOUR, NOON + late) == expected


def test_at_most_misfire_max_jobs_and_the_newest() -> None:
    rule = schedule(every="1h", misfire="all", misfire_max=3)
    assert due_ticks(rule, LEFT + HOUR, NOON) == Due(hours(22, 23, 24), 21, *hours(25))


@pytest.mark.parametrize(("misfire", "jobs"), [("skip", 0), ("once", 1), ("all", 1)])
def test_a_daily_tick_that_was_missed_over_a_change_of_clocks(misfire: str, jobs: int) -> None:
    rule = schedule(cron="30 2 * * *", tz="America/New_York", misfire=misfire)
    new_york = ZoneInfo("America/New_York")
    expected = rule.next_after(round(datetime(2026, 3, 7, 12, tzinfo=new_york).timestamp()) * 1000)
    now = round(datetime(2026, 3, 8, 12, tzinfo=new_york).timestamp() * 1000)
    due = due_ticks(rule, expected, now)
    assert len(due.fire) == jobs
    assert due.skipped == 1 - jobs
    assert datetime.fromtimestamp(due.next / 1000, UTC) == datetime(2026, 3, 9, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_nothing_is_due_early(misfire: str) -> None:
    rule = schedule(every="1h", misfire=misfire)
    assert due_ticks(rule, NOON, NOON - 1) == Due((), 0, NOON)
    assert due_ticks(rule, NOON, NOON) == Due((NOON,), 0, NOON + HOUR)
    assert due_ticks(rule, NOON + HOUR, NOON) == Due((), 0, NOON + HOUR)  # a clock put back


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
def test_a_tick_that_jitter_moved_is_on_time(misfire: str) -> None:
    rule = schedule(every="1h", jitter="30m", misfire=misfire)
    fires = rule.fires_at(NOON)
    assert fires > NOON + ON_TIME  # the case is one
    assert due_ticks(rule, NOON, fires - 1) == Due((), 0, NOON)
    assert due_ticks(rule, NOON, fires) == Due((NOON,), 0, NOON + HOUR)
    assert due_ticks(rule, NOON - HOUR, fires - 1).next == NOON


@pytest.mark.parametrize("misfire", ["skip", "once", "all"])
@pytest.mark.parametrize("when", [{"every": "1s"}, {"cron": "* * * * *"}])
def test_a_year_is_as_quick_as_a_minute(
    when: dict[str, Any], misfire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = {"misfire_max": MOST_MISFIRES} if misfire == "all" else {}
    rule = schedule(misfire=misfire, **when, **most)
    asked = []
    last_before = Schedule.last_before

    def counting(self: Schedule, ms: int) -> int | None:
        asked.append(ms)
        return last_before(self, ms)

    monkeypatch.setattr(Schedule, "last_before", counting)
    due = due_ticks(rule, NOON - YEAR, NOON)
    assert len(asked) <= MOST_MISFIRES + MOST_COUNTED + 2
    assert len(due.fire) == (MOST_MISFIRES if misfire == "all" else 1)
    exact = YEAR // 1000 + 1 - len(due.fire)
    assert due.skipped == (exact if "every" in when else MOST_COUNTED)


@settings(max_examples=40)
@given(
    EVERYS | CRONS,
    st.integers(0, 60 * YEAR),
    st.lists(st.integers(0, 40_000_000), min_size=1, max_size=6),
)
def test_each_tick_is_fired_or_skipped_once(rule: Schedule, start: int, pauses: list[int]) -> None:
    """However often somebody looks: no tick comes twice, and none is early."""
    now, expected = start, rule.next_after(start)
    fired: list[int] = []
    skipped = 0
    for pause in pauses:
        now += pause
        due = due_ticks(rule, expected, now)
        assert all(expected <= tick and rule.fires_at(tick) <= now for tick in due.fire)
        assert len(due.fire) <= (rule.misfire_max if rule.misfire == "all" else 1)
        assert due.next >= expected
        assert rule.fires_at(due.next) > now
        assert bool(due.fire or due.skipped) == (due.next > expected)
        fired += due.fire
        skipped += due.skipped
        expected = due.next
    assert all(earlier < later for earlier, later in pairwise(fired))
    if rule.every is not None:
        interval = round(rule.every * 1000)
        assert len(fired) + skipped == expected // interval - start // interval - 1
