"""An interrupt at every single step of what runs a job: it comes in the job, or not at all."""

import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

import jobq
from jobq.core.clock import SystemClock
from jobq.core.options import Policy
from jobq.errors import JobInterrupted, JobTimedOut
from jobq.runtime.board import CANCEL, Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import Limits
from jobq.runtime.executors.slots import Host
from jobq.runtime.executors.threads import SyncSlots
from jobq.runtime.notes import Notes

OURS = str(Path(jobq.__file__).parent)

Outcome = tuple[BaseException | None, object]


def job(_delivery: Delivery) -> object:
    for n in range(3):
        str(n)
    return 7


class Steps:
    """Runs something, and does something else before its N-th step: an instruction of ours."""

    def __init__(self, at: int, do: Callable[[FrameType], object]) -> None:
        self._at = at
        self._do = do
        self._step = 0

    def run(self, body: Callable[[], Outcome]) -> tuple[Outcome, bool]:
        """Return what it came to, and whether it has so many steps."""
        sys.settrace(self._trace)
        try:
            outcome = body()
        finally:
            sys.settrace(None)
        for n in range(50):  # whatever is still on its way comes now
            str(n)
        return outcome, self._step >= self._at

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith((OURS, __file__)) or event == "exception":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._step += 1
            if self._step == self._at:
                self._do(frame)
        return self._trace


class Place:
    """Where one job runs."""

    def __init__(self, *, timeout: float | None) -> None:
        self.board, clock = Board(), SystemClock()
        (place,) = self.board.hold([b"1-0"], 0, "j")
        self.notes = Notes(self.board, ["default"], lease=30.0, clock=clock)
        host = SimpleNamespace(
            attempts=SimpleNamespace(call=job),
            board=self.board,
            clock=clock,
            limits=Limits(self.board, clock, 25.0),
            notes=self.notes,
            call_on_loop=lambda _function: None,
        )
        self.slots = SyncSlots(cast("Host", host), 2)
        self.delivery = Delivery(("default", b"1-0", [b"id", b"call"], 0, None, place))
        self.delivery.policy = Policy(timeout=timeout)

    def interrupt_thread(self, _frame: FrameType) -> None:
        for gate in list(self.slots._gates.values()):
            gate.interrupt(JobInterrupted)

    def interrupt_main(self, frame: FrameType) -> None:
        delivery = self.slots.job_in(frame)
        if delivery is not None and self.notes.claim(delivery.item):
            raise JobInterrupted

    def ring(self, frame: FrameType) -> None:
        handler = signal.getsignal(signal.SIGALRM)
        if "_ring" in repr(handler) and callable(handler):
            handler(signal.SIGALRM, frame)


def check(outcome: Outcome, error: type[BaseException]) -> str:
    if outcome[0] is None:
        assert outcome == (None, 7)
        return "ended"
    assert type(outcome[0]) is error
    return "interrupted"


def steps() -> Iterator[int]:
    yield from range(1, 2000)
    raise AssertionError("it has no end")


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_in_a_thread(timeout: float | None) -> None:
    seen = set()
    for at in steps():
        place = Place(timeout=timeout)
        outcome, more = Steps(at, place.interrupt_thread).run(
            partial(place.slots._beside, place.delivery, 1)
        )
        if not more:
            break
        seen.add(check(outcome, JobInterrupted))
        assert place.board.next_deadline == 0
        assert not place.slots._gates
    assert seen == {"ended", "interrupted"}


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_cancel_in_the_main_thread(timeout: float | None) -> None:
    before = signal.getsignal(signal.SIGALRM)
    seen = set()
    for at in steps():
        place = Place(timeout=timeout)
        place.board.leave_notes([(CANCEL, b"0j1-0")])
        place.notes.take()
        outcome, more = Steps(at, place.interrupt_main).run(
            partial(place.slots._in_main, place.delivery)
        )
        if not more:
            break
        how = check(outcome, JobInterrupted)
        seen.add(how)
        assert place.notes.wanted == (how == "ended"), "it is looked for until it was interrupted"
        assert signal.getsignal(signal.SIGALRM) is before
        assert place.board.next_deadline == 0
    assert seen == {"ended", "interrupted"}


def test_a_timeout_in_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGALRM)
    seen = set()
    for at in steps():
        place = Place(timeout=60.0)
        outcome, more = Steps(at, place.ring).run(partial(place.slots._in_main, place.delivery))
        if not more:
            break
        seen.add(check(outcome, JobTimedOut))
        assert signal.getsignal(signal.SIGALRM) is before
        assert place.board.next_deadline == 0
    assert seen == {"ended", "interrupted"}
