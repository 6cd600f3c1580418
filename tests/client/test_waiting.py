"""What an observation of an awaited job means, without a server and without time."""

import pytest

from jobq.client.waiting import LOOK_EVERY, Ended, Waiting
from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.job import JobState
from jobq.errors import JobNotFound, ResultNotReady, ResultUnreadable

CODEC = Codec()
SEVEN = result.SUCCEEDED_HEAD + CODEC.encode_value(7)


def waiting(timeout: float | None = None) -> Waiting:
    return Waiting("j", CODEC, None, timeout, 100.0)


def test_a_look_is_due_at_once_and_then_each_second() -> None:
    one = waiting()
    assert one.must_look(100.0)
    assert one.of_look(JobState.READY, None, None, 100.0) is None
    assert not one.must_look(100.0 + LOOK_EVERY / 2)
    assert one.pause(100.0 + LOOK_EVERY / 4) == pytest.approx(LOOK_EVERY * 3 / 4)
    assert one.must_look(100.0 + LOOK_EVERY)


def test_the_pause_ends_with_the_time() -> None:
    one = waiting(timeout=0.25)
    assert one.of_look(JobState.RUNNING, None, None, 100.0) is None
    assert one.pause(100.0) == pytest.approx(0.25)
    with pytest.raises(ResultNotReady, match="job j has not finished within 250 ms"):
        one.pause(100.25)


@pytest.mark.parametrize("state", [None, JobState.SUCCEEDED, JobState.READY])
def test_a_result_counts_whatever_else_is_seen(state: JobState | None) -> None:
    assert waiting().of_look(state, SEVEN, None, 100.0) == Ended(7)
    assert waiting().of_result(SEVEN) == Ended(7)
    assert waiting().of_result(None) is None


def test_gone_means_never_there_or_without_a_result() -> None:
    with pytest.raises(JobNotFound):
        waiting().of_look(None, None, None, 100.0)
    one = waiting()
    one.of_look(JobState.RUNNING, None, None, 100.0)
    with pytest.raises(ResultUnreadable, match="left no result"):
        one.of_look(None, None, None, 101.0)
