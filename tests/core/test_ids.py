"""Ids of jobs: their layout, their order, and what a caller may choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.ids import ALPHABET, check_job_id, make_job_id, new_job_id
from jobq.errors import OptionError

MOMENTS = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=10)


@given(MOMENTS, RANDOM)
def test_an_id_holds_its_time_and_its_random_bits(clock_ms: int, random80: bytes) -> None:
    job_id = new_job_id(clock_ms, random80)
    number = 0
    for char in job_id:
        number = number * 32 + ALPHABET.index(char)
    assert len(job_id) == 26
    assert number == clock_ms << 80 | int.from_bytes(random80, "big")


@given(MOMENTS, MOMENTS, RANDOM, RANDOM)
def test_ids_sort_by_time(one: int, other: int, random_one: bytes, random_other: bytes) -> None:
    if one < other:
        assert new_job_id(one, random_one) < new_job_id(other, random_other)


@pytest.mark.parametrize(
    ("clock_ms", "random80"), [(-1, b"x" * 10), (2**48, b"x" * 10), (0, b"x" * 9), (0, b"x" * 11)]
)
def test_what_does_not_fit_is_refused(clock_ms: int, random80: bytes) -> None:
    with pytest.raises(ValueError, match=r"48 bits|10"):
        new_job_id(clock_ms, random80)


def test_made_ids_differ_and_are_checked_ids() -> None:
    made = [make_job_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    for job_id in made:
        assert len(job_id) == 26
        assert set(job_id) <= set(ALPHABET)
        assert check_job_id(job_id) == job_id
    assert made[0][:8] <= made[-1][:8]


@pytest.mark.parametrize("job_id", ["a", "order-17/mail", "x" * 128, "~!@#$%^&*()"])
def test_a_caller_may_choose(job_id: str) -> None:
    assert check_job_id(job_id) == job_id


@pytest.mark.parametrize(
    "job_id", ["", "x" * 129, "a b", "a\n", "é", "{a}", "a}", "\x7f", "\x00", None, 7, b"a"]
)
def test_anything_else_is_refused(job_id: object) -> None:
    with pytest.raises(OptionError, match="job_id"):
        check_job_id(job_id)
