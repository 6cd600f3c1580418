"""Schedules, for supervisors that have none: their part of the round is imported at the first one.

It needs a megabyte and a half of memory, which others shall not pay.
"""

from collections.abc import Callable, Collection
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from jobq.core.clock import Clock
from jobq.errors import StoreError
from jobq.runtime.hello import Hello
from jobq.runtime.rounds import Part
from jobq.store.ops import upkeep
from jobq.store.wire import Answers, AnyOp

if TYPE_CHECKING:
    from jobq.runtime.scheduler import Scheduler

#: Seconds between looks at whether there are schedules.
LOOK: Final = 0.5


class LateScheduler(Part):
    """Looks whether there are schedules, declared here or added by a program; then ticks them.

    Args:
        queues: tells the queues.
        now_ms: Redis time.
        clock: monotonic.
    """

    def __init__(
        self, queues: Callable[[], Collection[str]], now_ms: Callable[[], float], clock: Clock
    ) -> None:
        self._queues = queues
        self._now_ms = now_ms
        self._clock = clock
        self._hello: Hello | None = None
        self._look_at = 0.0
        self._scheduler: Scheduler | None = None
        #: The one that was asked in this round.
        self._asked: Scheduler | None = None

    def met(self, hello: Hello) -> None:
        """Take in what a worker said."""
        self._hello = hello
        if self._scheduler is not None:
            self._scheduler.met(hello)
        elif hello.declared.schedules:
            self._begin()

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        self._asked = self._scheduler
        if self._asked is not None:
            return self._asked.ops()
        if (now := self._clock.monotonic()) < self._look_at:
            return []
        self._look_at = now + LOOK
        return [upkeep.has_schedules(queue) for queue in self._queues()]

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        if self._asked is not None:
            self._asked.read(answers)
            self.next_ms = self._asked.next_ms
        elif any(answer and not isinstance(answer, StoreError) for answer in answers):
            self._begin()

    def _begin(self) -> None:
        made = import_module("jobq.runtime.scheduler").Scheduler(
            self._queues, self._now_ms, self._clock
        )
        self._scheduler = cast("Scheduler", made)
        if self._hello is not None:
            self._scheduler.met(self._hello)
