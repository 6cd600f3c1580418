"""How long a worker waits for jobs."""

from jobq.runtime.board import Board
from jobq.runtime.intake import BLOCK, Intake
from jobq.runtime.outbox import Outbox
from jobq.store.ops.fetch import Claimed


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
