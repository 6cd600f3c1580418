"""What a worker must not start because it is paused, as it knows it.

It looks into Redis itself whenever it connects, so that it never takes a job of a queue that was
paused before; from then on its supervisor tells it, on a sheet.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from jobq.core.pauses import Stopped, stopped_by
from jobq.core.registry import Definition
from jobq.runtime.delivery import Delivery, kind_after
from jobq.runtime.sheet import Sheet, read_down
from jobq.store.ops import fetch, pause, settle
from jobq.store.ops.pause import Looked
from jobq.store.ops.settle import Attempt
from jobq.store.wire import AnyOp, Op

log = logging.getLogger("jobq.worker")

#: Seconds between looks at the sheet while all queues are paused, so that nothing is waited for.
LOOK: Final = 0.02


class Paused:
    """What is paused in the queues of a worker.

    Args:
        told: called with what is not to be started, whenever that changes.

    Attributes:
        stopped: what is not to be started.
    """

    def __init__(
        self, sheet: Sheet, queues: Sequence[str], told: Callable[[Stopped], None]
    ) -> None:
        self.stopped = Stopped()
        self._sheet = sheet
        self._queues = tuple(queues)
        self._told = told
        #: The look of the supervisor as of which this is.
        self._number = 0
        self._asked = 0
        # Two threads of a worker look.
        self._lock = threading.Lock()

    def look(self) -> None:
        """See whether the supervisor has something new to say; from any thread of the worker."""
        if self._sheet.number > self._number:
            with self._lock:
                self._take()

    def ops(self) -> list[AnyOp]:
        """Return what to ask Redis before anything is fetched; `read` takes the answers."""
        self._asked = self._sheet.began
        return [pause.look(queue) for queue in self._queues]

    def read(self, answers: Sequence[Looked]) -> None:
        """Take what `ops` came to, none of them an error."""
        found = {queue: one.records for queue, one in zip(self._queues, answers, strict=True)}
        with self._lock:
            # A look of the supervisor that began before ours can have seen less.
            self._number = max(self._number, self._asked)
            self._learn(stopped_by(found))

    def say(self) -> None:
        """Say what is left because it is paused, at the end of a burst."""
        for queue in sorted(self.stopped.queues):
            log.warning("left what is paused queue=%s", queue)
        for queue, job in sorted(self.stopped.jobs):
            log.warning("left what is paused queue=%s name=%s", queue, job)

    def _take(self) -> None:
        found = self._sheet.read()
        if found is None or found[0] <= self._number:
            return
        self._number, text = found
        self._learn(read_down(self._queues, text))
        self._sheet.heed(self._number)

    def _learn(self, stopped: Stopped) -> None:
        if stopped != self.stopped:
            self.stopped = stopped
            self._told(stopped)


def set_aside(
    attempt: Attempt,
    delivery: Delivery,
    name: str,
    definition: Definition | None,
    stopped: Stopped,
) -> Op[bool]:
    """Return the op that gives back a job that is paused, not started: nothing is counted.

    Of a queue that is paused as a whole no worker takes anything, so it just goes back. Where only
    its job function is paused, it is held: nobody takes it until that is resumed.

    Args:
        name: of its job function, and its definition where this worker knows it.
    """
    usual = fetch.ANY
    if definition is not None:
        usual = fetch.ASYNC if definition.is_async else fetch.SYNC
    kind, delay = kind_after(delivery.history, usual), 0.0
    if (delivery.queue, name) in stopped.jobs:
        kind = fetch.HELD_SUSPECT if kind == fetch.SUSPECT else fetch.HELD
        delay = pause.HELD_FOR
    # In retries the history stands beside the entry already; in jobs it came with it.
    history = b"" if delivery.count else delivery.history or b""
    return settle.release(attempt, delivery.call, delay=delay, kind=kind, history=history)
