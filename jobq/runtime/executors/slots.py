"""What the slots of a worker with a loop share: where its sync and its async jobs run."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from jobq.core.clock import Clock
from jobq.core.pauses import Stopped
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import Board
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.limits import Limits
from jobq.runtime.notes import Notes


class Host(Protocol):
    """What slots ask of the executor that they belong to."""

    @property
    def attempts(self) -> Attempts:
        """What calls job functions."""

    @property
    def board(self) -> Board:
        """The page shared with the supervisor."""

    @property
    def clock(self) -> Clock:
        """What measures durations."""

    @property
    def limits(self) -> Limits:
        """What keeps the limits of jobs."""

    @property
    def notes(self) -> Notes:
        """What the supervisor has said of single jobs."""

    @property
    def aborted(self) -> bool:
        """Whether the executor itself has failed, and what still runs is being cancelled."""

    def settle(self, delivery: Delivery, error: BaseException | None, value: object) -> None:
        """Take what a job came to; from any thread."""

    def notify(self) -> None:
        """Hear that something has happened; from any thread."""

    def wake(self) -> None:
        """Hear that something has happened; on the loop."""

    def call_on_loop(self, function: Callable[[], None]) -> None:
        """Call something on the loop; from any thread."""

    def calls_for_trip(self) -> bool:
        """Whether an outcome should be settled now, and not with those that follow."""


def take_cancelled(waiting: "deque[Delivery]", notes: Notes) -> list[Delivery]:
    """Take out the jobs that wait and whose cancel was asked for."""
    return _take_out(waiting, lambda delivery: notes.wants(delivery.item))


def take_stopped(waiting: "deque[Delivery]", stopped: Stopped) -> list[Delivery]:
    """Take out the jobs that wait and are paused."""
    holds = stopped.holds
    return _take_out(waiting, lambda one: holds(one.queue, one.definition.name))


def _take_out(waiting: "deque[Delivery]", wanted: Callable[[Delivery], bool]) -> list[Delivery]:
    taken = []
    for delivery in list(waiting):
        if wanted(delivery):
            with suppress(ValueError):  # a thread has just started it
                waiting.remove(delivery)
                taken.append(delivery)
    return taken
