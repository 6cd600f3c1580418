"""How long a worker waits for jobs."""

import logging

import pytest

from jobq.core.codec import Codec
from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.runtime.intake import BLOCK, Intake
from jobq.runtime.outbox import Outbox
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import fetch, inspect, manage, settle, upkeep
from jobq.store.ops.enqueue import enqueue
from jobq.store.ops.fetch import Claimed
from jobq.store.ops.settle import Attempt


def intake(*queues: str) -> Intake:
    return Intake(queues, "me", Outbox(queues, "me"), Board())


def test_a_wait_ends_when_the_next_retry_is_due() -> None:
    one = intake("a", "b")
    for line, next_due in zip(one.lines, (5000, 250), strict=True):
        one.took(line, [Claimed([], next_due)])
    assert one.block() == 0.25


def test_a_wait_is_short_all_the_same() -> None:
    one = intake("a")
    one.took(one.lines[0], [Claimed([], None)])
    assert one.block() == BLOCK


def test_what_is_due_for_others_makes_nobody_spin() -> None:
    """A suspect that waits for a process of its own, a sync job that waits for the thread."""
    one = intake("a")
    one.took(one.lines[0], [Claimed([], 0)])
    assert one.block() == BLOCK


def test_a_group_that_is_gone_again_and_again_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = intake("a")
    gone, there = StoreError("gone", code="NOGROUP"), Claimed([], None)
    (line,) = one.lines
    with caplog.at_level(logging.WARNING, "jobq.worker"):
        for _ in range(3):
            assert len(one.took(line, [there, gone])[1]) == 1
            assert len(one.woke(gone)[1]) == 1
        assert caplog.text.count("made group anew") == 1
        one.took(line, [there, []])
        one.took(line, [gone])
    assert caplog.text.count("made group anew") == 2


@pytest.mark.parametrize("in_retries", [False, True])
def test_a_lost_delivery_whose_cancel_was_asked_for_does_not_start(
    redis_url: str, in_retries: bool
) -> None:
    connection = Connection(lambda: parse_url(redis_url))
    call = Codec().encode_call("f", (), {})
    connection.exchange([upkeep.regroup("a"), enqueue("a", "job-1", call)])
    ((entry,),) = connection.exchange([fetch.read("a", "me", 1, 0.0)])
    if in_retries:
        attempt = Attempt("a", "me", entry[0], b"job-1")
        connection.exchange([settle.retry(attempt, call, delay=0.0, kind="s", history=b"")])
        connection.exchange([fetch.claim("a", "me", 1, "s")])
    assert connection.exchange([manage.cancel("a", "job-1")]) == [manage.IS_RUNNING]

    outbox = Outbox(["a"], "me")
    one = Intake(["a"], "me", outbox, Board())
    stream = keys.retries("a") if in_retries else keys.jobs("a")
    (held,) = connection.exchange([fetch.mine("a", stream, "me")])
    one.adopt("a", held, in_retries=in_retries)
    assert not one.waiting
    posting = outbox.take()
    outbox.settled(posting, connection.exchange(posting.ops))
    (seen,) = connection.exchange([inspect.look("a", "job-1")])
    assert seen.state == "cancelled"
    assert outbox.held == {"a": 0}
    connection.close()
