"""The decision what becomes of a failed attempt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.backoff import Custom, Exponential, Fixed
from jobq.core.options import Policy
from jobq.core.outcome import Buried, Failure, Retrying, decide
from jobq.errors import Dead, Retry

FAILURE = Failure("builtins.ValueError", "no", "Traceback")
FIXED = Fixed((7.0,))


def outcome(policy: Policy, error: BaseException, attempt: int = 1) -> Retrying | Buried:
    return decide(policy, attempt, error, FAILURE, lambda: 0.5)


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
