"""Whether the scripts of this process obey the clock of tests, and how a test moves it."""

import os

from jobq.store import keys
from jobq.store.moved import moved
from jobq.store.wire import TEST_CLOCK, Op, Script


def obey_test_clock(*, obey: bool = True) -> bool:
    """Let the scripts of this process obey the clock of tests, or no longer.

    Processes that it starts do so where their environment has ``JOBQ_TEST_CLOCK=1``.

    Returns:
        Whether they did before.
    """
    before = is_obeyed()
    if obey != (Script.change is not None):
        Script.change_all(moved if obey else None)
    return before


def is_obeyed() -> bool:
    """Tell whether the scripts of this process obey the clock of tests."""
    return Script.change is not None or os.environ.get(TEST_CLOCK) == "1"


def move(ms: int) -> Op[int]:
    """Move the clock forward; the answer is by how much it is moved in all."""
    return Op(("INCRBY", keys.CLOCK, ms), int)
