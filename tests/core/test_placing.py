"""Options that say how a call is put into Redis: checked, brought together, refused by name."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobq.core.options import CALL_OPTIONS, DECLARATION_OPTIONS, parse_options
from jobq.core.placing import Placing, place
from jobq.core.uniqueness import Rule
from jobq.errors import OptionError

REPLACE = {"on_conflict": "replace"}
NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = 86400.0


def placed(lower: Placing | None = None, **given: object) -> Placing | None:
    options = parse_options(given, where="f.options()", accepts=CALL_OPTIONS)
    return place(options.placing, where="f.options()", lower=lower, now=NOW.timestamp())


def found(lower: Placing | None = None, **given: object) -> Placing:
    placing = placed(lower, **given)
    assert placing is not None
    return placing


def rule(lower: Placing | None = None, **given: object) -> Rule:
    unique = found(lower, **given).unique
    assert unique is not None
    return unique.rule


def test_a_delay_is_whole_milliseconds_and_never_less() -> None:
    assert found(delay="5m").due == (300_000, 0)
    assert found(delay=timedelta(microseconds=1)).due == (1, 0)
    assert found(delay=0.29).due == (290, 0)
    assert found(delay=0).due == (0, 0)
    assert placed() is None


def test_a_moment_counts_wherever_it_was_written() -> None:
    at = datetime(2030, 3, 1, 9, tzinfo=ZoneInfo("Europe/Madrid"))
    assert found(at=at).due == (0, int(at.timestamp() * 1000))
    assert found(at=at.astimezone(timezone(timedelta(hours=-5)))).due == found(at=at).due
    early = at.replace(microsecond=1)
    assert found(at=early).due == (0, int(at.timestamp() * 1000) + 1)  # never early
    assert found(at=datetime(1, 1, 1, tzinfo=UTC)).due == (0, 1)


def test_the_newest_of_delay_and_moment_counts() -> None:
    later = found(delay="5m")
    assert found(later, at=NOW).due == (0, int(NOW.timestamp() * 1000))
    assert found(found(at=NOW), delay=1).due == (1000, 0)
    assert placed(later, delay=None) is None
    assert placed(delay=None, at=None) is None
    assert found(delay=None, at=NOW).due == found(at=NOW).due


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("delay", value) for value in (math.nan, math.inf, -1, -math.inf, 1e300, "x")],
        *[("delay", value) for value in (True, "1y", 10**400, NOW)],
        *[("at", value) for value in (5, "2030-01-01", timedelta(1), NOW.date())],
        *[("priority", value) for value in (None, 1, "", "HIGH", "urgent", b"high", ["high"])],
        *[("unique", value) for value in (True, 5, "", "kwargs", ["args"], math.nan)],
        *[("unique_for", value) for value in (None, 0, -1, "ever", math.nan, True)],
        *[("on_conflict", value) for value in (None, "ignore", 1, "r")],
        *[("debounce", value) for value in (0, -1, math.nan, math.inf, "x", True, 1e-9)],
        *[("debounce_max", value) for value in (0, None, math.inf)],
        *[("throttle", value) for value in (5, "5", "0/1s", "1001/1s", "1/0s", "1/x", "-1/1s")],
        *[
            ("throttle", value)
            for value in ("1.5/1s", "1/", "/1s", True, "1/inf", "9" * 99 + "/1s")
        ],
    ],
)
def test_bad_values_name_the_option(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"^f\.options\(\): {option}"):
        placed(None, **{option: value})


def test_a_naive_datetime_is_refused_with_the_fix() -> None:
    with pytest.raises(OptionError, match=r"^f\.options\(\): at is 2030.* no time zone.*tzinfo="):
        placed(at=datetime(2030, 1, 1))  # noqa: DTZ001  that is the point


@pytest.mark.parametrize(
    "given",
    [
        {"delay": 366 * DAY},
        {"at": NOW + timedelta(days=366)},
        {"at": datetime.max.replace(tzinfo=UTC)},
        {"debounce": 366 * DAY},
        {"debounce": 1, "debounce_max": 366 * DAY},
    ],
)
def test_what_looks_too_far_ahead_names_the_limit(given: dict[str, Any]) -> None:
    option = list(given)[-1]
    with pytest.raises(OptionError, match=rf"^f\.options\(\): {option} is .*max_delay is 365 d"):
        placed(**given)
    assert place({"delay": 400 * DAY}, where="", max_delay=500 * DAY)
    with pytest.raises(OptionError, match=r"delay is 2 m ahead, and max_delay is 1 m"):
        place({"delay": 120.0}, where="f", max_delay=60)


@pytest.mark.parametrize(
    ("first", "second", "given"),
    [
        ("delay", "at", {"delay": 1, "at": NOW}),
        ("debounce", "delay", {"debounce": 1, "delay": 1}),
        ("debounce", "at", {"debounce": 1, "at": NOW}),
        ("debounce", "on_conflict", {"debounce": 1, "on_conflict": "existing"}),
        ("debounce", "on_conflict", {"debounce": 1, "on_conflict": "raise"}),
        ("debounce", "throttle", {"debounce": 1, "throttle": "1/1s"}),
        ("debounce_max", "debounce", {"debounce": 5, "debounce_max": 4}),
        ("debounce_max", "debounce", {"unique": "args", "debounce_max": 4}),
        ("job_id", "unique", {"unique": "args", "job_id": "a"}),
        ("job_id", "throttle", {"throttle": "1/1s", "job_id": "a"}),
        ("throttle", "on_conflict", {"throttle": "1/1s", "on_conflict": "replace"}),
        (
            "unique_for",
            "on_conflict",
            {"unique": "args", "unique_for": 5, "on_conflict": "replace"},
        ),
        ("unique_for", "debounce", {"unique_for": "until_done"}),
        ("on_conflict", "unique", {"on_conflict": "raise"}),
    ],
)
def test_options_that_contradict_each_other_are_named(
    first: str, second: str, given: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=rf"^f\.options\(\): {first}\b.*\b{second}\b"):
        placed(**given)


def test_the_defaults_of_uniqueness() -> None:
    assert rule(unique="args") == Rule("d", 0, "e")
    assert rule(unique="name", unique_for="until_start") == Rule("s", 0, "e")
    assert rule(unique="args", unique_for="10m", on_conflict="raise") == Rule("t", 600_000, "x")
    assert rule(debounce=5) == Rule("d", 0, "r", 5000, 50_000)
    assert rule(debounce=5, debounce_max="2m") == Rule("d", 0, "r", 5000, 120_000)
    assert rule(debounce=300 * DAY).longest == 365 * DAY * 1000
    assert rule(throttle="3/10s") == Rule("-", 0, "e", 0, 0, 3, 10_000)
    assert rule(throttle="3/10s", unique_for="until_done").mode == "d"
    unique = found(debounce=5).unique
    assert unique is not None
    assert unique.by == "name"


def test_one_call_goes_beyond_what_the_function_says() -> None:
    declared = found(unique="args", on_conflict="raise", priority="high")
    assert rule(declared, unique_for="until_start") == Rule("s", 0, "x")
    assert found(declared, delay=1).line("mail") == "mail high"
    assert placed(declared, priority="normal", unique=None) is None
    assert found(declared, unique=None, job_id="a").unique is None
    with pytest.raises(OptionError, match="job_id and unique contradict"):
        placed(declared, job_id="a")
    assert placed(found(debounce=5, debounce_max=10), debounce=None) is None


@pytest.mark.parametrize("option", ["delay", "at", "job_id"])
def test_what_belongs_to_a_call_is_refused_elsewhere(option: str) -> None:
    with pytest.raises(OptionError, match=rf"'{option}' belongs to a single call"):
        parse_options({option: 1}, where="@job", accepts=DECLARATION_OPTIONS)


def test_placings_can_be_compared_whatever_their_function() -> None:
    by: Callable[..., object] = lambda a: a  # noqa: E731
    assert found(unique=by) == found(unique=by) != found(unique="args")
