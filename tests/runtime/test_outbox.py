"""Outcomes that wait for Redis: none is forgotten, whatever Redis answers."""

import logging

import pytest

from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.runtime.item import Item
from jobq.runtime.outbox import MOST, Outbox
from jobq.store.ops import settle
from jobq.store.wire import Op

REFUSED = StoreError("no", code="READONLY")

#: What an outcome has beside its place: the job function, since when it waited, when it ran.
RAN = ("job", b"1000-0", (1.0, 2.0))


def item(entry: bytes, *, count: int = 0, place: int = 0) -> Item:
    return ("default", entry, [b"id", b"call"], count, None, place)


def op() -> Op[bool]:
    attempt = settle.Attempt("default", "me", b"1-0", b"id")
    return settle.retry(attempt, b"call", delay=1, kind="s", history=b"")


def full() -> Outbox:
    outbox = Outbox(["default", "other"], "me", Board())
    outbox.held["default"] = 3
    outbox.done["default"].append((b"1-0", b"a", 0, b"", 1, *RAN))
    outbox.done["default"].append((b"2-0", b"b", 0, b"", 2, *RAN))
    outbox.add(op(), item(b"3-0", place=3))
    return outbox


def test_all_is_taken_and_what_is_settled_frees_its_place() -> None:
    outbox = full()
    assert len(outbox) == 3
    posting = outbox.take()
    assert len(posting.ops) == 2
    assert not outbox
    assert sorted(outbox.settled(posting, [[], True])) == [1, 2, 3]
    assert outbox.held["default"] == 0
    assert not outbox
    assert not outbox.refused


def test_what_was_on_its_way_is_kept_in_order() -> None:
    outbox = full()
    outbox.put_back(outbox.take())
    assert [done[0] for done in outbox.done["default"]] == [b"1-0", b"2-0"]
    assert len(outbox) == 3
    assert outbox.held["default"] == 3


def test_what_is_refused_is_kept_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    outbox = full()
    with caplog.at_level(logging.WARNING, "jobq.worker"):
        for _ in range(3):
            assert outbox.settled(outbox.take(), [REFUSED, True])[:1] in ([3], [])
            outbox.add(op(), item(b"3-0", place=3))
            assert outbox.refused
        said = [record.getMessage() for record in caplog.records]
        assert sum("kept outcomes jobs=2" in line for line in said) == 1
        outbox.settled(outbox.take(), [[], True])
    assert not outbox.refused
    assert "settled what was kept" in caplog.text


def test_an_outcome_that_is_refused_still_matters_while_nothing_is_sent() -> None:
    outbox = full()
    outbox.settled(outbox.take(), [REFUSED, REFUSED])
    kept = outbox.take()
    outbox.settled(outbox.take(), [])
    assert outbox.refused
    outbox.put_back(kept)


def test_a_lost_lease_is_said_unless_it_was_sent_before(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jobq.worker"):
        outbox = full()
        assert sorted(outbox.settled(outbox.take(), [[b"1-0"], False])) == [1, 2, 3]
        assert "lost lease jobs=2 entries=1-0 3-0" in caplog.text
        caplog.clear()
        outbox = full()
        outbox.put_back(outbox.take())
        outbox.settled(outbox.take(), [[b"1-0"], False])
        assert caplog.text == ""


def test_only_who_is_alone_says_how_many_are_held() -> None:
    def held(outbox: Outbox, *, alone: bool) -> object:
        (first, *_) = outbox.take(alone=alone).ops
        assert first.script is not None
        return first.words[3 + int(str(first.words[2])) + 3]

    assert held(full(), alone=True) == 3
    assert held(full(), alone=False) == -1


def test_a_large_outbox_goes_in_parts() -> None:
    outbox = Outbox(["default"], "me", Board())
    outbox.done["default"].extend((b"%d-0" % n, b"x", 0, b"", n, *RAN) for n in range(MOST + 1))
    posting = outbox.take()
    assert [len(batch) for _, batch in posting.groups] == [MOST, 1]
