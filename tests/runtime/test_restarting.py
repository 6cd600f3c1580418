"""When a worker that ended is started again."""

from jobq.runtime.board import Board
from jobq.runtime.children import Child
from jobq.runtime.restarting import RESTART, SHORT_LIFE, Restarts
from tests.support.standing import Time


def ended(clock: Time, slot: int = 0) -> Child:
    return Child(1, slot, "w", Board(), isolated=False, born=clock.now, reader=-1)


def test_those_that_die_at_once_wait_longer_and_longer() -> None:
    clock = Time()
    restarts = Restarts(clock)
    for pause in (RESTART[0], RESTART[0] * 2, RESTART[0] * 4):
        restarts.after(ended(clock))
        assert restarts.due() == []
        clock.now += pause
        assert restarts.due() == [0]
    old = ended(clock, 1)
    clock.now += SHORT_LIFE * 2
    restarts.after(old)
    assert restarts.due() == [1], "it has lived"


def test_changed_code_is_tried_at_once() -> None:
    clock = Time()
    restarts = Restarts(clock)
    for _ in range(10):
        restarts.after(ended(clock))
        clock.now += RESTART[1]
        restarts.due()
    restarts.after(ended(clock, 3))
    assert restarts.due() == []
    restarts.hurry()
    assert restarts.due() == [3]
    restarts.after(ended(clock))
    clock.now += RESTART[0]
    assert restarts.due() == [0], "new code, new patience"
