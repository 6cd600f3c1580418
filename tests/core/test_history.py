"""The history of a job: bounded, and safe from garbage."""

from contextlib import suppress
from typing import get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.history import MAX_ATTEMPTS, AttemptRecord, History, Kind
from jobq.errors import CallUnreadable

TEXT = st.text(st.characters(), max_size=50)  # lone surrogates too
RECORDS = st.builds(
    AttemptRecord,
    st.integers(0, 2**40),
    st.integers(0, 2**48),
    st.sampled_from(get_args(Kind)),
    TEXT,
    TEXT,
    TEXT,
)


@given(st.lists(RECORDS, max_size=30), st.none() | st.integers(0, 2**48))
def test_a_history_comes_back(records: list[AttemptRecord], unknown: int | None) -> None:
    history = History()
    for record in records:
        history = history.add(record)
    history = history.unknown_since(unknown)
    assert History.decode(history.encode()) == history
    assert len(history.attempts) == min(len(records), MAX_ATTEMPTS)
    assert [one.attempt for one in history.attempts] == [
        one.attempt for one in records[-MAX_ATTEMPTS:]
    ]
    assert history.crashes == sum(one.kind == "crashed" for one in records)
    assert history.unknown_since_ms == unknown


def test_texts_are_cut_where_it_hurts_least() -> None:
    record = AttemptRecord(1, 0, "failed", "e" * 999, "m" * 9999 + "z", "a" + "t" * 99999 + "end")
    (cut,) = History().add(record).attempts
    assert len(cut.error) == 200
    assert cut.message == "m" * 2000
    assert len(cut.traceback) == 8000
    assert cut.traceback.endswith("end")


def test_the_fullest_history_can_be_read() -> None:
    history = History()
    for attempt in range(30):
        full = "\N{GRINNING FACE}" * 10_000
        history = history.add(AttemptRecord(attempt, 2**48, "crashed", full, full, full))
    assert History.decode(history.encode()) == history


def test_no_bytes_are_the_empty_history() -> None:
    assert History.decode(b"") == History()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_history_or_unreadable(blob: bytes) -> None:
    with suppress(CallUnreadable):
        assert isinstance(History.decode(blob), History)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [2, 0, None, []],
        [1, -1, None, []],
        [1, 0, "x", []],
        [1, 0, None, {}],
        [1, 0, None, [[1, 2, "failed", "", ""]]],
        [1, 0, None, [[1, 2, "odd", "", "", ""]]],
        [1, 0, None, [5]],
        [1, 0, None, [[1, 2, [], "", "", ""]]],
        [1, 0, msgpack.ExtType(5, b"x"), []],
    ],
)
def test_garbage_is_unreadable(data: object) -> None:
    with pytest.raises(CallUnreadable):
        History.decode(msgpack.packb(data))


def test_a_huge_history_is_unreadable() -> None:
    with pytest.raises(CallUnreadable, match="bytes"):
        History.decode(b"\x00" * 10_000_000)
