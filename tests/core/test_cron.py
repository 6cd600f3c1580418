"""Cron: where its ticks are, also where clocks change; what is refused; and its cost."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobq.core.cron import Cron
from jobq.core.cron_fields import MAX_CRON_CHARS, Fields, check_cron
from jobq.core.cron_notes import notes
from jobq.core.zones import check_tz, zone
from jobq.errors import OptionError

NEW_YORK, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"
SANTIAGO, DUBLIN, APIA = "America/Santiago", "Europe/Dublin", "Pacific/Apia"


def ms(text: str) -> int:
    """2026-11-01 01:30-0400, or without a zone: UTC."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def local(tick: int, tz: str) -> str:
    return f"{datetime.fromtimestamp(tick / 1000, ZoneInfo(tz)):%Y-%m-%d %H:%M%z}"


def forward(cron: Cron, start: int, end: int) -> Iterator[int]:
    while (start := cron.after(start)) < end:
        yield start


def backward(cron: Cron, start: int, end: int) -> Iterator[int]:
    """From the end to the start, the start left out."""
    tick = cron.before(end - 1)
    while tick is not None and tick > start:
        yield tick
        tick = cron.before(tick - 1)


def check(expression: str, tz: str, start: str, expected: list[str]) -> None:
    """The ticks after a time are these, forward and backward."""
    cron = Cron(expression, tz, "mail.digest")
    wanted = [ms(text) for text in expected]
    end = wanted[-1] + 1
    assert [local(tick, tz) for tick in forward(cron, ms(start), end)] == expected
    assert [*backward(cron, ms(start), end)][::-1] == wanted


# ---------------------------------------------------------------------------- clocks that change


@pytest.mark.parametrize(
    ("expression", "tz", "start", "expected"),
    [
        # Clocks go forward: 02:00 to 03:00 does not come, on Lord Howe 02:00 to 02:30.
        ("30 2 * * *", NEW_YORK, "2026-03-07 12:00",
         ["2026-03-08 03:00-0400", "2026-03-09 02:30-0400"]),
        ("0,20,40 2 * * *", NEW_YORK, "2026-03-08 00:00",
         ["2026-03-08 03:00-0400", "2026-03-09 02:00-0400"]),
        ("0 2,3 * * *", NEW_YORK, "2026-03-08 00:00",
         ["2026-03-08 03:00-0400", "2026-03-09 02:00-0400"]),
        ("0 */2 * * *", NEW_YORK, "2026-03-08 04:30",
         ["2026-03-08 00:00-0500", "2026-03-08 04:00-0400", "2026-03-08 06:00-0400"]),
        ("*/30 * * * *", NEW_YORK, "2026-03-08 06:00",
         ["2026-03-08 01:30-0500", "2026-03-08 03:00-0400", "2026-03-08 03:30-0400"]),
        ("30 2 * * *", BERLIN, "2026-03-28 12:00",
         ["2026-03-29 03:00+0200", "2026-03-30 02:30+0200"]),
        ("0 */2 * * *", BERLIN, "2026-03-28 22:30",
         ["2026-03-29 00:00+0100", "2026-03-29 04:00+0200"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-03 12:00",
         ["2026-10-04 02:30+1100", "2026-10-05 02:15+1100"]),
        ("45 2 * * *", LORD_HOWE, "2026-10-03 12:00",
         ["2026-10-04 02:45+1100", "2026-10-05 02:45+1100"]),
        ("0 * * * *", LORD_HOWE, "2026-10-03 14:00",
         ["2026-10-04 01:00+1030", "2026-10-04 03:00+1100"]),
        ("0 0 * * *", SANTIAGO, "2026-09-05 12:00",
         ["2026-09-06 01:00-0300", "2026-09-07 00:00-0300"]),
        ("@hourly", SANTIAGO, "2026-09-06 02:30",
         ["2026-09-05 23:00-0400", "2026-09-06 01:00-0300"]),
        ("30 1 * * *", DUBLIN, "2026-03-28 12:00",
         ["2026-03-29 02:00+0100", "2026-03-30 01:30+0100"]),
        # A whole day that never came.
        ("0 9 * * *", APIA, "2011-12-29 12:00",
         ["2011-12-29 09:00-1000", "2011-12-31 00:00+1400", "2011-12-31 09:00+1400"]),
        ("*/20 * * * *", APIA, "2011-12-30 09:30",
         ["2011-12-29 23:40-1000", "2011-12-31 00:00+1400"]),
        # Clocks go back: an hour comes twice, on Lord Howe half of one.
        ("30 1 * * *", NEW_YORK, "2026-10-31 12:00",
         ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]),
        ("*/30 1 * * *", NEW_YORK, "2026-10-31 12:00",
         ["2026-11-01 01:00-0400", "2026-11-01 01:30-0400", "2026-11-02 01:00-0500"]),
        ("*/30 * * * *", NEW_YORK, "2026-11-01 04:30",
         ["2026-11-01 01:00-0400", "2026-11-01 01:30-0400", "2026-11-01 01:00-0500",
          "2026-11-01 01:30-0500", "2026-11-01 02:00-0500"]),
        ("0 */2 * * *", BERLIN, "2026-10-24 22:30",
         ["2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 04:00+0100"]),
        ("0 0-23 * * *", BERLIN, "2026-10-24 23:30",
         ["2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 03:00+0100"]),
        ("0 0-22 * * *", BERLIN, "2026-10-24 23:30",
         ["2026-10-25 02:00+0200", "2026-10-25 03:00+0100"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04 12:00",
         ["2026-04-05 01:45+1100", "2026-04-06 01:45+1030"]),
        ("45 * * * *", LORD_HOWE, "2026-04-04 14:00",
         ["2026-04-05 01:45+1100", "2026-04-05 01:45+1030", "2026-04-05 02:45+1030"]),
        ("30 23 * * *", SANTIAGO, "2026-04-04 12:00",
         ["2026-04-04 23:30-0300", "2026-04-05 23:30-0400"]),
        ("30 1 * * *", DUBLIN, "2026-10-24 12:00",
         ["2026-10-25 01:30+0100", "2026-10-26 01:30+0000"]),
        ("30 * * * *", DUBLIN, "2026-10-25 00:00",
         ["2026-10-25 01:30+0100", "2026-10-25 01:30+0000", "2026-10-25 02:30+0000"]),
    ],
)  # fmt: skip
def test_ticks_where_clocks_change(
    expression: str, tz: str, start: str, expected: list[str]
) -> None:
    check(expression, tz, start, expected)


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 0 29 2 *", "2026-01-01", ["2028-02-29", "2032-02-29"]),
        ("0 0 29 2 *", "2096-03-01", ["2104-02-29", "2108-02-29"]),  # 2100 is no leap year
        ("0 0 * 2 mon#5", "2026-01-01", ["2044-02-29", "2072-02-29", "2112-02-29"]),
        ("0 0 31 * *", "2026-01-31", ["2026-03-31", "2026-05-31"]),
        ("0 0 L * *", "2028-01-01", ["2028-01-31", "2028-02-29", "2028-03-31"]),
        ("0 0 15,L 2 *", "2026-01-01", ["2026-02-15", "2026-02-28", "2027-02-15"]),
        ("0 0 29-L 2 *", "2026-01-01", ["2028-02-29"]),
        ("0 0 31 DEC *", "2026-12-31", ["2027-12-31"]),
        ("0 0 1 1 *", "2026-12-31", ["2027-01-01"]),
        ("@Yearly", "2026-12-31", ["2027-01-01"]),
        ("@monthly", "2026-12-31", ["2027-01-01", "2027-02-01"]),
        ("@weekly", "2026-11-24", ["2026-11-29", "2026-12-06"]),
        ("@daily", "2026-12-30", ["2026-12-31", "2027-01-01"]),
        ("0 0 * * Mon-FRI", "2026-11-26", ["2026-11-27", "2026-11-30"]),
        ("0 0 * * mon-sun", "2026-11-28", ["2026-11-29", "2026-11-30"]),
        ("0 0 * * 5-7", "2026-11-26", ["2026-11-27", "2026-11-28", "2026-11-29", "2026-12-04"]),
        ("0 0 * * fri#2", "2026-11-24", ["2026-12-11", "2027-01-08"]),
        ("0 0 * * L5", "2026-11-24", ["2026-11-27", "2026-12-25"]),
        ("0 0 1 * fri", "2026-11-25", ["2026-11-27", "2026-12-01", "2026-12-04"]),  # either
        ("0 0 1 * fri#2", "2026-11-25", ["2026-12-01", "2026-12-11", "2027-01-01"]),
        ("0 0 31 2 sat", "2026-02-01", ["2026-02-07", "2026-02-14"]),
        ("0 0 ? * ?", "2026-11-25", ["2026-11-26"]),
    ],
)
def test_days(expression: str, start: str, expected: list[str]) -> None:
    check(expression, "UTC", start, [f"{day} 00:00+0000" for day in expected])


def test_a_hash_is_of_the_name() -> None:
    ticks = {name: Cron("H H * * *", "UTC", name).after(0) for name in ("a", "b", "c", "d")}
    assert len(set(ticks.values())) > 1
    assert ticks["a"] == Cron("h h * * *", "UTC", "a").after(0)
    assert Cron("H/15 * * * *", "UTC", "a").shortest_gap() == 15 * 60_000


# ------------------------------------------------------------------ the rule, by looking everywhere

#: Where clocks change, in UTC; and a day without a change.
CHANGES = [
    (NEW_YORK, "2026-03-08"), (NEW_YORK, "2026-11-01"), (BERLIN, "2026-03-29"),
    (BERLIN, "2026-10-25"), (LORD_HOWE, "2026-04-04"), (LORD_HOWE, "2026-10-03"),
    (SANTIAGO, "2026-09-06"), (SANTIAGO, "2026-04-05"), (DUBLIN, "2026-10-25"),
    (APIA, "2011-12-30"), ("Africa/Casablanca", "2026-02-15"), ("Asia/Kolkata", "2026-06-01"),
]  # fmt: skip


@cache
def clock(tz: str, day: str) -> tuple[tuple[int, datetime], ...]:
    """Each minute of two days around a change, and what clocks on the wall show."""
    start = ms(day) // 1000 - 36 * 3600
    return tuple(
        (now, datetime.fromtimestamp(now, ZoneInfo(tz)).replace(tzinfo=None, fold=0))
        for now in range(start, start + 72 * 3600, 60)
    )


def means(fields: Fields, wall: datetime) -> bool:
    if wall.minute not in fields.minutes or wall.hour not in fields.hours:
        return False
    if wall.month not in fields.months:
        return False
    days = [(wall.day in fields.days)] if fields.days is not None else []
    if fields.weekdays is not None:
        days.append(wall.isoweekday() % 7 in fields.weekdays)
    return any(days) or not days


def by_definition(fields: Fields, tz: str, day: str) -> list[int]:
    """All ticks of the time around a change, as the rule of jobq.core.cron has it."""
    minutes = clock(tz, day)
    if fields.elapsed:
        return [now for now, wall in minutes if means(fields, wall)]
    first: dict[datetime, int] = {}
    for now, wall in minutes:
        first.setdefault(wall, now)
    ticks = set()
    wall, last = minutes[0][1], minutes[-1][1]
    while wall <= last:
        if means(fields, wall):
            ticks.add(first.get(wall) or next(now for now, shows in minutes if shows > wall))
        wall += timedelta(minutes=1)
    return sorted(ticks)


def lists(least: int, most: int) -> st.SearchStrategy[str]:
    value = st.integers(least, most)
    ranges = st.tuples(value, value).filter(lambda pair: pair[0] < pair[1])
    part = st.one_of(
        value.map(str),
        ranges.map("{0[0]}-{0[1]}".format),
        st.tuples(ranges, st.integers(1, 9)).map("{0[0][0]}-{0[0][1]}/{0[1]}".format),
        st.integers(1, (most - least + 1) // 2).map("*/{}".format),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


TIMES = st.tuples(lists(0, 59), lists(0, 23)).map(" ".join)
DAYS = st.tuples(lists(1, 28), lists(1, 12), lists(0, 6)).map(" ".join)
EXPRESSIONS = st.tuples(TIMES, st.one_of(st.just("* * *"), DAYS)).map(" ".join)


def check_around(change: tuple[str, str], expression: str) -> None:
    tz, day = change
    cron = Cron(expression, tz)
    # Less at both ends, where the rule would have to see the days beyond.
    start, end = ms(day) - 30 * 3_600_000, ms(day) + 30 * 3_600_000
    expected = [
        tick * 1000 for tick in by_definition(cron.fields, tz, day) if start < tick * 1000 < end
    ]
    if len(expected) > 200:  # enough of them: the ones at the change are in the middle
        middle = len(expected) // 2
        expected = expected[middle - 100 : middle + 100]
        start, end = expected[0] - 1, expected[-1] + 1
    assert [*forward(cron, start, end)] == expected
    assert [*backward(cron, start, end)][::-1] == expected


@settings(max_examples=8)
@given(st.sampled_from(CHANGES), EXPRESSIONS)
@example((APIA, "2011-12-30"), "* 0-22 * * *")
@example((LORD_HOWE, "2026-10-03"), "*/10 2 * * *")
@example((LORD_HOWE, "2026-04-04"), "*/10 1-2 * * *")
def test_the_rule_holds_for_every_minute(change: tuple[str, str], expression: str) -> None:
    check_around(change, expression)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.sampled_from(CHANGES), EXPRESSIONS)
@example((APIA, "2011-12-30"), "* * * * *")
def test_the_rule_holds_for_many_expressions(change: tuple[str, str], expression: str) -> None:
    check_around(change, expression)


INSTANTS = st.integers(0, ms("2100-01-01"))
ZONES = st.sampled_from(sorted({tz for tz, _ in CHANGES} | {"UTC", "Asia/Kathmandu"}))


@settings(max_examples=50)
@given(EXPRESSIONS, ZONES, INSTANTS)
def test_forward_and_backward_agree(expression: str, tz: str, now: int) -> None:
    cron = Cron(expression, tz)
    after, before = cron.after(now), cron.before(now)
    assert after > now
    assert cron.before(after) == after
    assert cron.before(after - 1) == before
    assert after % 60_000 == 0 or after < ms("1980-01-01")
    if before is not None:
        assert before <= now
        assert cron.after(before) == after
        assert cron.after(before - 1) == before


def croniter_means(expression: str, start: datetime, count: int) -> list[datetime]:
    ticks = croniter(expression, start, ret_type=datetime)
    return [ticks.get_next().replace(tzinfo=UTC) for _ in range(count)]


@settings(max_examples=25)
@given(EXPRESSIONS, st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001
def test_in_utc_croniter_finds_the_same(expression: str, start: datetime) -> None:
    cron = Cron(expression)
    now, ours = ms(f"{start}"), []
    for _ in range(3):
        now = cron.after(now)
        ours.append(datetime.fromtimestamp(now / 1000, UTC))
    assert ours == croniter_means(expression, start.replace(tzinfo=UTC), 3)


@settings(max_examples=15)
@given(EXPRESSIONS)
def test_no_gap_is_shorter_than_the_shortest(expression: str) -> None:
    cron = Cron(expression)
    ticks = [ms("2026-01-01")]
    for _ in range(50):
        ticks.append(cron.after(ticks[-1]))
    assert cron.shortest_gap() <= min(b - a for a, b in pairwise(ticks[1:]))


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [
        ("* * * * *", 1),
        ("*/15 * * * *", 15),
        ("50,10 * * * *", 20),
        ("0 9 * * *", 1440),
        ("0 9-17 * * *", 60),
        ("30 23,0 * * *", 60),
        ("0 0 * * mon", 7 * 1440),
        ("0 0 * * mon,tue", 1440),
        ("0 0 1 * *", 28 * 1440),
        ("0 0 29 2 *", 1461 * 1440),
    ],
)
def test_the_shortest_gap(expression: str, minutes: int) -> None:
    assert Cron(expression).shortest_gap() == minutes * 60_000


# ---------------------------------------------------------------------------- cost


@pytest.mark.parametrize(
    "expression", ["* * * * *", "59 23 31 12 *", "0 0 29 2 *", "0 0 * 2 mon#5"]
)
@pytest.mark.parametrize("tz", ["UTC", NEW_YORK])
def test_a_search_is_short_whatever_lies_between(
    expression: str, tz: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cron = Cron(expression, tz)
    looked: list[date] = []
    time = type(cron.walls)._time

    def counting(walls: Any, day: date, number: int) -> datetime:
        looked.append(day)
        return time(walls, day, number)

    monkeypatch.setattr(type(cron.walls), "_time", counting)
    now = ms("2026-03-08 06:59")
    cron.after(now)
    cron.before(now)
    # Four, and the minutes of an hour that never comes; the leap years are 28 years apart.
    assert len(looked) <= 64


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (5, "use a str"),
        (None, "use a str"),
        (b"* * * * *", "use a str"),
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 * * * *", 'every="30s"'),
        ("0 0 0 1 1 * 2030", 'every="30s"'),
        ("0 " * (MAX_CRON_CHARS // 2 + 1), "characters"),
        ("@reboot", "@daily"),
        ("@every 5m", "2 fields"),
        ("٣ * * * *", "ASCII"),
        ("R * * * *", "use H"),
        ("0 r(1-5) * * *", "use H"),
        ("R/5 * * * *", "use H"),
        ("5-1 * * * *", "write 5-59,0-1"),
        ("0 0 * * fri-mon", "write 5-6,0-1"),
        ("0 0 * nov-feb *", "write 11-12,1-2"),
        ("0 0 * * sat-sun#1,sun-sun", "write sun"),
        ("5-5 * * * *", "write 5"),
        ("*/90 * * * *", 'every="90m"'),
        ("0 */36 * * *", 'every="36h"'),
        ("59/15 * * * *", "write 59"),
        ("*,5 * * * *", "alone"),
        ("0 0 15W * *", "nearest weekday"),
        ("0 0 L-3 * *", "days before the last"),
        ("0 25 * * *", "hour '25' cannot be read"),
        ("60 * * * *", "minute '60'"),
        ("0 0 0 * *", "day-of-month '0'"),
        ("0 0 1 13 *", "month '13'"),
        ("0 0 * * 8", "day-of-week '8'"),
        ("0 0 * foo *", "month 'foo'"),
        ("*/0 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        (", * * * *", "minute"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 apr *", "never comes"),
        ("0 0 31 2,4,6,9,11 *", "never comes"),
        ("0 0 30-31 feb *", "never comes"),
    ],
)
def test_refused_at_declaration(expression: Any, said: str) -> None:
    with pytest.raises(OptionError, match=r"^cron ") as refused:
        Cron(expression, "UTC", "x")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 300


SIGNS = "0123456789*/-,#?LWHRlwhr@()mon"


@settings(max_examples=120)
@given(
    st.text(max_size=40)
    | st.text(SIGNS + " ", max_size=30)
    | st.lists(st.text(SIGNS, min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join)
)
def test_garbage_is_refused_or_ticks(text: str) -> None:
    try:
        cron = Cron(text, "UTC", "x")
    except OptionError:
        return
    assert cron.after(0) > 0


def test_the_longest_expression_is_read() -> None:
    text = ",".join(["*/15"] * 50)[: MAX_CRON_CHARS - 8].rpartition(",")[0] + " * * * *"
    assert Cron(text).after(0) == 900_000
    assert check_cron("  0 \t9 * *  mon ") == "0 9 * * mon"


@pytest.mark.parametrize(
    ("tz", "said"),
    [
        ("Europe/Madird", "'Europe/Madrid'"),
        ("madrid", "'Europe/Madrid'"),
        ("europe/berlin", "'Europe/Berlin'"),
        ("utc", "'UTC'"),
        ("Nowhere/At/All", "IANA"),
        ("", "IANA"),
        ("Europe", "unknown"),
        ("../../etc/passwd", "IANA"),
        ("/etc/localtime", "IANA"),
        ("Europe/Berlin\0", "IANA"),
        ("x" * 10_000, "IANA"),
        ("localtime", "IANA"),
        ("local", "which is unknown; use a name of the IANA database"),
        ("right/UTC", "IANA"),
        (None, "use its name"),
        (2, "use its name"),
        (ZoneInfo("Europe/Madrid"), "tz='Europe/Madrid'"),
    ],
)
def test_no_time_zone(tz: Any, said: str) -> None:
    with pytest.raises(OptionError, match=r"^tz is ") as refused:
        check_tz(tz)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 250


def test_a_machine_without_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobq.core.zones.available_timezones", set)
    with pytest.raises(OptionError, match="Install the package tzdata"):
        check_tz("No/Such")
    assert zone("UTC") is UTC


# ---------------------------------------------------------------------------- notes

NOVEMBER = ms("2026-11-24 12:00")


@pytest.mark.parametrize(
    ("expression", "tz", "expected"),
    [
        ("*/5 * * * *", NEW_YORK, []),
        ("0 9 * * mon-fri", NEW_YORK, []),
        ("30 2 * * *", "UTC", []),
        ("0 0 1 * mon", "UTC", ["fit one of them"]),
        ("0 0 L * mon", "UTC", ["fit one of them"]),
        ("*/7 * * * *", "UTC", ['after 56 comes 0 again, 4 later and not 7. every="7m"']),
        ("0 */5 * * *", "UTC", ['after 20 comes 0 again, 4 later and not 5. every="5h"']),
        ("0 0 */2 * *", "UTC", ["starts again on the 1st"]),
        ("0 0 * */5 *", "UTC", ["after 11 comes 1 again, 2 later"]),
        ("0 0 31 * *", "UTC", ["no tick in Feb, Apr, Jun, Sep, Nov"]),
        ("0 0 31 1,3 *", "UTC", []),
        ("0 0 29 * *", "UTC", ["no tick in Feb except in leap years"]),
        ("0 0 15,31 * *", "UTC", []),
        ("0 0 * * fri#5", "UTC", ["fifth"]),
        ("30 2 * * *", NEW_YORK,
         ["02:30 does not come in America/New_York, where clocks go forward: it ticks at 03:00"]),
        ("*/20 1 * * *", NEW_YORK, ["2027-11-07 01:00 to 01:40 comes twice"]),
        ("15 2 * * *", LORD_HOWE, ["2027-10-03 02:15 does not come"]),
        ("30 1 * * *", DUBLIN, ["2027-03-28 01:30 does not come", "2027-10-31 01:30 comes twice"]),
        ("0 0 * * *", SANTIAGO, ["2027-09-05 00:00 does not come"]),
    ],
)  # fmt: skip
def test_notes(expression: str, tz: str, expected: list[str]) -> None:
    found = notes(expression, tz, NOVEMBER)
    assert len(found) == len(expected)
    assert not [text for text, part in zip(found, expected, strict=True) if part not in text]


def test_notes_refuse_what_is_no_expression() -> None:
    with pytest.raises(OptionError, match="cron"):
        notes("no", "UTC", NOVEMBER)
    with pytest.raises(OptionError, match="tz"):
        notes("* * * * *", "No/Such", NOVEMBER)
