"""Durations: every form they may have, and every form they may not."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.duration import MAX_SECONDS, seconds, show
from jobq.errors import OptionError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (90, 90.0),
        (1.5, 1.5),
        (timedelta(minutes=5), 300.0),
        ("90", 90.0),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1h30m", 5400.0),
        (" 1 d 2 h 3 m 4 s 5 ms ", 93784.005),
        ("1m500ms", 60.5),
        (MAX_SECONDS, MAX_SECONDS),
    ],
)
def test_what_a_duration_may_be(value: object, expected: float) -> None:
    assert seconds(value, what="timeout") == pytest.approx(expected)


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "m", "5x", "5 minutes", "-5m", "1m1h", "1h1h", "1e3", "nan", "inf", "0x1"),
        *("٣", "1" * 65, "1.m", ".5", "1h30", "1 2"),
        *(-1, -0.001, math.nan, math.inf, -math.inf, 10**400, MAX_SECONDS * 2),
        *(True, False, None, b"5m", [5], object(), timedelta(-1), timedelta.max),
    ],
)
def test_what_it_may_not_be(value: object) -> None:
    with pytest.raises(OptionError, match=r"^timeout is .* Use seconds .*5m") as caught:
        seconds(value, what="timeout")
    assert len(str(caught.value)) < 400


def test_a_number_too_long_to_be_shown_is_refused() -> None:
    for number in (10**5000, -(10**5000)):
        with pytest.raises(OptionError, match="repr raised ValueError"):
            seconds(number, what="timeout")


def test_the_least_is_named() -> None:
    assert seconds("10s", what="lease", minimum=10) == 10
    with pytest.raises(OptionError, match="at least 10 s"):
        seconds(9, what="lease", minimum=10)


def test_a_broken_repr_does_not_hide_the_error() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(OptionError, match="ZeroDivisionError"):
        seconds(Broken(), what="timeout")


@given(st.text())
def test_any_text_is_a_duration_or_an_option_error(text: str) -> None:
    try:
        number = seconds(text, what="timeout")
    except OptionError:
        return
    assert 0 <= number <= MAX_SECONDS


@given(st.floats(0, MAX_SECONDS))
def test_what_is_shown_is_near_and_can_be_read_again(number: float) -> None:
    shown = show(number)
    if "e-" not in shown:  # less than a tenth of a microsecond
        assert seconds(shown, what="it") == pytest.approx(number, rel=0.05, abs=0.0005)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (1.5, "1.5 s"),
        (59.99, "1 m"),
        (300, "5 m"),
        (5400, "1 h 30 m"),
        (86400, "1 d"),
        (90061, "1 d 1 h"),
        (86460, "1 d"),
        (-5, "-5 s"),
        (math.inf, "inf"),
    ],
)
def test_how_a_duration_is_shown(number: float, text: str) -> None:
    assert show(number) == text
