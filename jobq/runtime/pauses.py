"""Pauses, as a supervisor sees them: it looks in each round, and tells its workers."""

import logging
import signal
from collections.abc import Callable, Collection, Sequence

from jobq.core.pauses import EVERY_JOB, PauseRecord
from jobq.errors import StoreError
from jobq.runtime.children import Child
from jobq.runtime.rounds import Part
from jobq.runtime.sheet import write_down
from jobq.store.ops import pause
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")


class Pauses(Part):
    """Looks at what is paused, in all queues in each round, and writes it down for each worker.

    Args:
        queues: tells the queues.
        children: tells the workers.
    """

    def __init__(
        self, queues: Callable[[], Collection[str]], children: Callable[[], Sequence[Child]]
    ) -> None:
        self._queues = queues
        self._children = children
        self._asked: list[str] = []
        self._records: dict[str, tuple[PauseRecord, ...]] = {}
        #: The number of this look.
        self._number = 0
        #: By process id: what stands on the sheet, and since which look.
        self._written: dict[int, tuple[bytes, int]] = {}

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        self._number += 1
        for child in self._children():
            child.board.sheet.begin(self._number)
        self._asked = list(self._queues())
        return [pause.look(queue) for queue in self._asked]

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        before = self._records
        # Of a queue that cannot be looked at, what was known is true still.
        self._records = {
            queue: before.get(queue, ()) if isinstance(answer, StoreError) else answer.records
            for queue, answer in zip(self._asked, answers, strict=True)
        }
        ends = [one.until_ms for some in self._records.values() for one in some]
        self.next_ms = min((end for end in ends if end is not None), default=None)
        looked = [answer for answer in answers if not isinstance(answer, StoreError)]
        if any(one.more for one in looked):
            self.next_ms = 0
        self._tell()
        for queue, records in self._records.items():
            _log_changes(queue, before.get(queue, ()), records)

    def is_paused(self, queue: str) -> bool:
        """Tell whether a queue is paused as a whole, as of the last look."""
        return any(record.job is None for record in self._records.get(queue, ()))

    def has_heeded(self, child: Child) -> bool:
        """Tell whether a worker knows what is paused; one that waits for a job may not yet."""
        known = self._written.get(child.pid)
        return known is None or child.board.sheet.heeded >= known[1]

    def _tell(self) -> None:
        written: dict[int, tuple[bytes, int]] = {}
        for child in self._children():
            if child.hello is None:  # its queues are not known yet; it has looked itself
                continue
            text = write_down(child.hello.queues, self._records)
            known = self._written.get(child.pid, (None, 0))
            if text == known[0]:
                child.board.sheet.still(self._number)
                written[child.pid] = text, known[1]
                continue
            child.board.sheet.write(self._number, text)
            written[child.pid] = text, self._number
            if known[0] is not None or text:
                child.signal(signal.SIGUSR1)  # it may be waiting on its loop, beside what runs
        self._written = written


def _log_changes(queue: str, before: Collection[PauseRecord], now: Collection[PauseRecord]) -> None:
    old, new = {one.job for one in before}, {one.job for one in now}
    for record in now:
        if record.job not in old:
            name = record.job or EVERY_JOB
            said = "paused queue=%s name=%s by=%s reason=%r"
            log.warning(said, queue, name, record.by, record.reason)
    for job in old - new:
        log.warning("resumed queue=%s name=%s", queue, job or EVERY_JOB)
