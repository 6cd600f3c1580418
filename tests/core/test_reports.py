"""What a job tells of itself: limits, and reading it whatever a stranger wrote."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.reports import (
    MOST_TEXT,
    Chunk,
    check_size,
    fraction,
    missed,
    position,
    read_chunk,
    read_line,
    read_progress,
    short,
)
from jobq.errors import ReportTooLarge


def chunk(attempt: int, number: int) -> Chunk:
    return Chunk("1700000000000-5", attempt, number, b"")


def test_the_id_of_a_part_says_where_to_go_on() -> None:
    assert position(chunk(2, 17).id) == ("1700000000000-5", 2, 17)


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "1-2.3", "1-2.3.x", "-.1.1", "1-2.3.4.5", "+1-2.3.4"]
)
def test_what_is_no_id_of_a_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the id of a part"):
        position(text)


@pytest.mark.parametrize(
    ("last", "next_one", "many"),
    [
        ((0, 0), (1, 1), 0),
        ((0, 0), (1, 4), 3),
        ((1, 4), (1, 5), 0),
        ((1, 4), (1, 9), 4),
        ((1, 4), (2, 1), 0),
        ((1, 4), (2, 3), 2),
        ((1, 4), (1, 2), 0),
    ],
)
def test_missed_chunks_are_counted(
    last: tuple[int, int], next_one: tuple[int, int], many: int
) -> None:
    assert missed(last, chunk(*next_one)) == many


@pytest.mark.parametrize(
    ("value", "is_"), [(0, 0.0), (0.4, 0.4), (7, 1.0), (-1, 0.0), (1e999, 1.0)]
)
def test_a_fraction_is_kept_between_its_ends(value: float, is_: float) -> None:
    assert fraction(value) == is_


@pytest.mark.parametrize("value", [True, "0.4", None])
def test_what_is_no_number_is_no_fraction(value: object) -> None:
    with pytest.raises(TypeError, match="a number from 0 to 1"):
        fraction(value)


def test_nan_is_no_fraction() -> None:
    with pytest.raises(ValueError, match="nan"):
        fraction(float("nan"))


def test_long_texts_are_cut_and_odd_ones_travel() -> None:
    assert short("x" * 10, 4) == "xxx…"
    assert short("\ud800", 4) == "?"
    assert short(5, 4) == "5"


def test_too_many_bytes_are_refused() -> None:
    assert check_size(b"12", 2, "it") == b"12"
    with pytest.raises(ReportTooLarge, match="it has 3 bytes, and may have 2"):
        check_size(b"123", 2, "it")


def test_reports_are_read() -> None:
    found = read_progress([b"0.25", b"half of half", b"3", b"1700000000000"])
    assert found is not None
    assert (found.fraction, found.note, found.attempt) == (0.25, "half of half", 3)
    assert found.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    line = read_line("1700000000000-0", [b"a", b"1", b"l", b"INFO", b"m", b"hello"])
    assert line is not None
    assert (line.attempt, line.level, line.text) == (1, "INFO", "hello")
    one = read_chunk("1700000000000-0", [b"a", b"1", b"n", b"7", b"v", b"\x01"])
    assert one == Chunk("1700000000000-0", 1, 7, b"\x01")


WORDS = st.one_of(st.none(), st.binary(max_size=30), st.sampled_from([b"nan", b"inf", b"9" * 40]))


@given(st.lists(WORDS, min_size=4, max_size=4))
def test_no_garbage_breaks_the_reading_of_a_progress(words: list[bytes | None]) -> None:
    found = read_progress(words)
    assert found is None or 0 <= found.fraction <= 1


@given(
    st.text("0123456789-x", max_size=30),
    st.lists(st.one_of(st.sampled_from([b"a", b"n", b"v", b"m", b"l"]), st.binary()), max_size=8),
)
def test_no_garbage_breaks_the_reading_of_an_entry(entry: str, fields: list[bytes]) -> None:
    line = read_line(entry, fields)
    assert line is None or len(line.text) <= MOST_TEXT
    one = read_chunk(entry, fields)
    assert one is None or one.number >= 0
