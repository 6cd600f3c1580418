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


def test_what_a_release_before_has_written_can_be_read() -> None:
    row = [1, 2, 5, [[1, 9, "failed", "E", "m", "t"]]]
    history = History.decode(msgpack.packb(row))
    assert (history.crashes, history.unknown_since_ms, len(history.attempts)) == (2, 5, 1)
    assert (history.snoozes, history.first_failed_ms, history.snoozed_ms) == (0, None, None)


@pytest.mark.parametrize(
    "rest", [[0], [0, None, None], [-1, None, None, None], [0, "x", None, None], [None] * 4]
)
def test_the_rest_of_a_row_is_whole_or_unreadable(rest: list[object]) -> None:
    with pytest.raises(CallUnreadable):
        History.decode(msgpack.packb([1, 0, None, [], *rest]))


def test_the_first_failure_is_remembered_until_it_snoozes_or_starts_afresh() -> None:
    history = History()
    for attempt in range(1, 30):
        history = history.add(AttemptRecord(attempt, attempt * 10, "failed"), retries=40)
    assert (history.first_failed_ms, history.retries) == (10, 40)
    assert History.decode(history.encode()) == history
    snoozed = history.snoozed(500).snoozed(600)
    assert (snoozed.snoozes, snoozed.snoozed_ms, snoozed.first_failed_ms) == (2, 600, None)
    assert History.decode(snoozed.encode()) == snoozed
    failed = snoozed.add(AttemptRecord(30, 700, "failed"))
    assert (failed.snoozes, failed.snoozed_ms, failed.first_failed_ms) == (2, None, 700)
    assert failed.afresh().first_failed_ms is None
    assert failed.afresh().attempts == failed.attempts


def test_what_was_started_since() -> None:
    assert not History().started_since(1)
    assert History().snoozed(5).started_since(5)
    assert not History().snoozed(5).started_since(6)
    failed = History().snoozed(5).add(AttemptRecord(1, 7, "failed"))
    assert failed.started_since(7)
    assert not failed.started_since(8)
