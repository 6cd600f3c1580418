"""The decision what becomes of a failed attempt."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.backoff import Custom, Exponential, Fixed
from jobq.core.options import Policy
from jobq.core.outcome import Buried, Failure, Retrying, Snoozed, When, decide
from jobq.errors import Dead, Retry, Snooze

FAILURE = Failure("builtins.ValueError", "no", "Traceback")
FIXED = Fixed((7.0,))


NOW = 1_700_000_000_000.0
FIRST = When(NOW)


def outcome(
    policy: Policy, error: BaseException, attempt: int = 1, when: When = FIRST
) -> Retrying | Buried | Snoozed:
    return decide(policy, attempt, error, FAILURE, lambda: 0.5, when)


def test_a_failure_is_retried_after_its_backoff() -> None:
    assert outcome(Policy(backoff=FIXED), ValueError()) == Retrying(7.0, FAILURE)
    assert outcome(Policy(), ValueError(), attempt=3) == Retrying(2.0, FAILURE)


@given(st.integers(0, 1000), st.integers(1, 2000))
def test_retries_are_counted_after_the_first_attempt(retries: int, attempt: int) -> None:
    decided = outcome(Policy(retries=retries), ValueError(), attempt)
    assert isinstance(decided, Retrying) == (attempt <= retries)
    if isinstance(decided, Buried):
        assert decided == Buried("attempts used up", FAILURE)


def test_three_retries_are_four_attempts() -> None:
    decided = [outcome(Policy(retries=3), ValueError(), attempt) for attempt in (1, 2, 3, 4)]
    assert [type(one) for one in decided] == [Retrying, Retrying, Retrying, Buried]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_user_code_raises_is_a_failure(error: BaseException) -> None:
    assert isinstance(outcome(Policy(), error), Retrying)
    assert isinstance(outcome(Policy(retry_on=(OSError,)), error), Buried)
    assert isinstance(outcome(Policy(retry_on=(type(error),)), error), Retrying)
    assert isinstance(outcome(Policy(no_retry_on=(type(error),)), error), Buried)


def test_only_what_is_to_be_retried_is() -> None:
    policy = Policy(retry_on=(OSError,), no_retry_on=(FileNotFoundError,))
    assert isinstance(outcome(policy, ConnectionError()), Retrying)
    assert outcome(policy, FileNotFoundError()) == Buried(
        "not retried: FileNotFoundError is in no_retry_on", FAILURE
    )
    assert outcome(policy, ValueError()) == Buried(
        "not retried: ValueError is not in retry_on", FAILURE
    )


def test_dead_is_dead() -> None:
    assert outcome(Policy(), Dead("no such user")) == Buried("no such user", FAILURE)
    assert outcome(Policy(), Dead("")) == Buried("asked to be dead", FAILURE)


def test_retry_comes_before_retry_on_but_not_before_the_count() -> None:
    policy = Policy(retries=1, backoff=FIXED, retry_on=(OSError,), no_retry_on=(Exception,))
    assert outcome(policy, Retry()) == Retrying(7.0, FAILURE)
    assert outcome(policy, Retry(after="5m")) == Retrying(300.0, FAILURE)
    assert outcome(policy, Retry(after=0)) == Retrying(0.0, FAILURE)
    assert outcome(policy, Retry(after=1), attempt=2) == Buried("attempts used up", FAILURE)


@pytest.mark.parametrize("after", [-1, "soon", float("nan"), object(), True])
def test_a_retry_after_nonsense_falls_back_to_the_backoff(after: Any) -> None:
    decided = outcome(Policy(backoff=FIXED), Retry(after=after))
    assert isinstance(decided, Retrying)
    assert decided.after == 7.0
    assert "Retry(after=...)" in decided.error.message
    assert decided.error.message.startswith("no [")


class BrokenText(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "raised", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), BrokenText()]
)
def test_a_backoff_that_raises_does_not_lose_the_job(raised: BaseException) -> None:
    def rule(_attempt: int, _error: BaseException) -> float:
        raise raised

    decided = outcome(Policy(backoff=Custom(rule)), ValueError(), attempt=2)
    assert isinstance(decided, Retrying)
    assert decided.after == Exponential().ceiling(2) * 0.5
    assert f"backoff function failed with {type(raised).__name__}" in decided.error.message


@pytest.mark.parametrize("returned", [None, -1, "soon", float("nan")])
def test_nor_does_one_that_returns_nonsense(returned: Any) -> None:
    decided = outcome(Policy(backoff=Custom(lambda _attempt, _error: returned)), ValueError())
    assert isinstance(decided, Retrying)
    assert decided.after == 0.5
    assert "default backoff was used" in decided.error.message


def test_a_reason_that_cannot_be_shown_is_no_obstacle() -> None:
    reason: Any = BrokenText()
    assert outcome(Policy(), Dead(reason)) == Buried("<BrokenText>", FAILURE)


def at(ms: float, zone: tzinfo = UTC) -> datetime:
    return datetime.fromtimestamp(ms / 1000, zone)


@pytest.mark.parametrize(
    ("snooze", "after"),
    [
        (Snooze("10m"), 600.0),
        (Snooze(timedelta(hours=1)), 3600.0),
        (Snooze(0), 0.0),
        (Snooze(until=at(NOW + 5000)), 5.0),
        (Snooze(until=at(NOW + 5000, timezone(timedelta(hours=9)))), 5.0),
        (Snooze(until=at(NOW - 5000)), 0.0),
        (Snooze(until=datetime.min.replace(tzinfo=UTC)), 0.0),
    ],
)
def test_a_snooze_is_no_failure(snooze: Snooze, after: float) -> None:
    """Whatever the policy says of failures, and however often it has failed before."""
    policy = Policy(retries=0, retry_on=(), no_retry_on=(Exception,), retry_for=1.0)
    for attempt in (1, 7):
        assert outcome(policy, snooze, attempt, When(NOW, 0)) == Snoozed(after)


class BrokenZone(tzinfo):
    def utcoffset(self, _moment: datetime | None) -> timedelta:
        raise ZeroDivisionError("no such place")

    def dst(self, _moment: datetime | None) -> None:
        return None

    def tzname(self, _moment: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    ("snooze", "note"),
    [
        (Snooze(), "takes a duration, or until="),
        (Snooze(5, until=at(NOW)), "and not both"),
        (Snooze(-1), "must not be negative"),
        (Snooze(float("nan")), "not a duration"),
        (Snooze(float("inf")), "at most 100 years"),
        (Snooze("soon"), "not a duration"),
        (Snooze(until=datetime(2026, 1, 1)), "without a time zone"),  # noqa: DTZ001
        (Snooze(until=at(NOW).replace(tzinfo=BrokenZone())), "no such place"),
        (Snooze(until="tomorrow"), "use a datetime"),  # type: ignore[arg-type]
        (Snooze("8d"), "more than max_delay"),
        (Snooze(until=datetime.max.replace(tzinfo=UTC)), "more than max_delay"),
    ],
)
def test_a_snooze_that_makes_no_sense_is_a_failure_and_loses_nothing(
    snooze: Snooze, note: str
) -> None:
    week = When(NOW, max_delay=7 * 86400.0)
    decided = outcome(Policy(backoff=FIXED, retry_on=()), snooze, when=week)
    assert isinstance(decided, Retrying)
    assert decided.after == 7.0
    assert note in decided.error.message
    assert decided.error.message.endswith("The snooze was taken for a failure.]")
    assert isinstance(outcome(Policy(), snooze, attempt=4, when=week), Buried)


def test_no_retry_starts_after_retry_for() -> None:
    policy = Policy(retries=1000, backoff=FIXED, retry_for=10.0)
    assert outcome(policy, ValueError()) == Retrying(7.0, FAILURE)
    first = int(NOW)
    assert isinstance(outcome(policy, ValueError(), 2, When(NOW + 3000, first)), Retrying)
    over = Buried("retry_for is over", FAILURE)
    assert outcome(policy, ValueError(), 2, When(NOW + 3001, first)) == over
    assert outcome(policy, Retry(after=11)) == over
    assert outcome(policy, Retry(after=10)) == Retrying(10.0, FAILURE)
    assert outcome(Policy(retries=0, retry_for=10.0), ValueError()).reason == "attempts used up"  # type: ignore[union-attr]
