"""Backoff: its bounds, its forms, and its way through bytes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.backoff import (
    Backoff,
    Custom,
    Exponential,
    Fixed,
    delay,
    from_wire,
    parse_backoff,
    to_wire,
)
from jobq.core.duration import MAX_SECONDS
from jobq.errors import OptionError

ERROR = ValueError("no")
SECONDS = st.floats(0, 1e6)
EXPONENTIALS = st.builds(
    Exponential, SECONDS, SECONDS, factor=st.floats(1, 1e6), jitter=st.booleans()
)
FIXED = st.builds(Fixed, st.lists(SECONDS, min_size=1, max_size=20).map(tuple))
ATTEMPTS = st.integers(1, 2000)
RNG = st.floats(0, 1, exclude_max=True)


def rule(_attempt: int, _error: BaseException) -> float:
    return 1.0


def always(number: float) -> Callable[[], float]:
    return lambda: number


@given(EXPONENTIALS, ATTEMPTS, RNG)
def test_an_exponential_delay_is_within_its_cap(
    backoff: Exponential, attempt: int, chance: float
) -> None:
    after = delay(backoff, attempt, ERROR, always(chance))
    assert 0 <= after <= backoff.cap  # type: ignore[operator]  # a float by now


@given(EXPONENTIALS, ATTEMPTS)
def test_ceilings_never_shrink(backoff: Exponential, attempt: int) -> None:
    assert backoff.ceiling(attempt) <= backoff.ceiling(attempt + 1)


def test_ceilings_double_up_to_ten_minutes() -> None:
    ceilings = [Exponential().ceiling(attempt) for attempt in (1, 2, 3, 4, 10, 11, 1000, 10**6)]
    assert ceilings == [1, 2, 4, 8, 512, 600, 600, 600]


def test_jitter_is_full() -> None:
    assert delay(Exponential(), 4, ERROR, always(0.0)) == 0
    assert delay(Exponential(), 4, ERROR, always(0.5)) == 4
    assert delay(Exponential(jitter=False), 4, ERROR, always(0.5)) == 8


def test_the_base_may_be_zero() -> None:
    assert Exponential(base=0, factor=10).ceiling(10**6) == 0


@given(FIXED, ATTEMPTS)
def test_a_list_repeats_its_last(backoff: Fixed, attempt: int) -> None:
    expected = backoff.delays[min(attempt, len(backoff.delays)) - 1]
    assert delay(backoff, attempt, ERROR, always(0.5)) == expected


def test_a_function_gets_the_attempt_and_the_error() -> None:
    seen: list[object] = []

    def remember(attempt: int, error: BaseException) -> str:
        seen.append((attempt, error))
        return "2m"

    assert delay(parse_backoff(remember), 3, ERROR, always(0)) == 120
    assert delay(Custom(remember, cap="1m"), 4, ERROR, always(0)) == 60
    assert seen == [(3, ERROR), (4, ERROR)]


@pytest.mark.parametrize("nonsense", [-1, "soon", None, float("nan")])
def test_a_function_that_returns_nonsense_is_refused(nonsense: Any) -> None:
    with pytest.raises(OptionError):
        delay(Custom(lambda _attempt, _error: nonsense), 1, ERROR, always(0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, Fixed((5.0,))),
        ("1m", Fixed((60.0,))),
        (timedelta(seconds=3), Fixed((3.0,))),
        ([1, "10s", timedelta(minutes=1)], Fixed((1.0, 10.0, 60.0))),
        ((1,), Fixed((1.0,))),
        (Exponential(base="2s"), Exponential(base=2.0)),
        (Fixed((1,)), Fixed((1.0,))),
        (Custom(rule), Custom(rule, cap=MAX_SECONDS)),
    ],
)
def test_what_a_backoff_may_be(value: object, expected: Backoff) -> None:
    assert parse_backoff(value) == expected


@pytest.mark.parametrize("value", [None, True, -1, "x", [], [1, -1], [[1]], {}, Exponential, int])
def test_what_it_may_not_be(value: object) -> None:
    with pytest.raises(OptionError, match="backoff"):
        parse_backoff(value)


@pytest.mark.parametrize(
    "options",
    [
        {"base": -1},
        {"cap": "x"},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"factor": float("inf")},
        {"factor": True},
        {"factor": "2"},
        {"jitter": 1},
    ],
)
def test_an_exponential_checks_its_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"Exponential.{next(iter(options))}"):
        Exponential(**options)


def test_a_custom_rule_needs_a_function() -> None:
    with pytest.raises(OptionError, match="cannot be called"):
        Custom(5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="delays"):
        Fixed((1.0,) * 1001)


@given(EXPONENTIALS | FIXED)
def test_a_rule_travels(backoff: Backoff) -> None:
    assert from_wire(msgpack.unpackb(msgpack.packb(to_wire(backoff)))) == backoff


def test_a_function_does_not_travel() -> None:
    with pytest.raises(OptionError, match="cannot travel"):
        to_wire(Custom(rule))


@pytest.mark.parametrize(
    "data",
    [
        *(None, [], ["e"], ["e", 1.0, 1.0, 2, True], ["e", "x", 1.0, 2.0, True]),
        *(["f"], ["f", -1], ["g"]),
    ],
)
def test_unreadable_rules_are_refused(data: object) -> None:
    with pytest.raises(OptionError):
        from_wire(data)
