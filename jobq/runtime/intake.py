"""Which ops fetch the next jobs of a queue, and what their answers mean; sends nothing itself."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.runtime.delivery import Item
from jobq.runtime.outbox import Outbox
from jobq.store.ops import fetch, settle, upkeep
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Answer, Answers, AnyOp, Op

log = logging.getLogger("jobq.worker")

#: Seconds that a read may wait for the first job. Short, because Redis 6.2 does not tell those
#: who wait that their group is gone.
BLOCK: Final = 1.0

#: From this many on, a batch may be a little larger than asked for: see `Line.ops`.
_LARGE: Final = 8


class Line:
    """One queue as a worker sees it.

    Attributes:
        queue: its name.
        number: its place in the order of the worker, which stands on the board.
        due_in: seconds until the next retry is due, as of the last look; None: none waits.
        grouped: its groups were there at the last look.
    """

    __slots__ = ("due_in", "grouped", "number", "queue", "_consumer", "_reads")

    def __init__(self, queue: str, number: int, consumer: str) -> None:
        self.queue = queue
        self.number = number
        self.due_in: float | None = 0.0
        self.grouped = True
        self._consumer = consumer
        self._reads = False

    def ops(self, want: int, kinds: str, *, new: bool = True) -> list[AnyOp]:
        """Return the ops that take up to ``want`` jobs: retries that are due, then new ones.

        Both go out together. Where that could take two slow jobs instead of one, retries that
        are known to be due go alone, and new ones are read when none was left.
        """
        self._reads = new and (want >= _LARGE or self.due_in is None or self.due_in > 0)
        ops: list[AnyOp] = [fetch.claim(self.queue, self._consumer, want, kinds)]
        if self._reads:
            ops.append(fetch.read(self.queue, self._consumer, want, 0.0))
        return ops


class Intake:
    """The queues of a worker, and what it was given and has not run yet.

    Attributes:
        waiting: items in the order in which they shall run. The thread that runs jobs takes
            from the left, the one that gives back from the right.
    """

    def __init__(self, queues: Sequence[str], consumer: str, outbox: Outbox, board: Board) -> None:
        self.lines = [Line(queue, number, consumer) for number, queue in enumerate(queues)]
        self.waiting: deque[Item] = deque()
        self._by_queue = {line.queue: line for line in self.lines}
        self._consumer = consumer
        self._outbox = outbox
        self._board = board

    def took(self, line: Line, answers: Answers) -> tuple[int, list[AnyOp]]:
        """Read the answers to `Line.ops`.

        Returns:
            How many jobs were taken, and ops that must follow, because the group is gone.
        """
        taken = 0
        mend: list[AnyOp] = []
        claimed, *rest = answers
        for entries in rest:  # before anything is raised: what was read is ours
            if not isinstance(entries, StoreError) and entries:
                taken += self.new(line.queue, entries)
        if isinstance(claimed, StoreError):
            mend += self._mend(line, claimed)
        else:
            line.due_in = None if claimed.next_due is None else claimed.next_due / 1000
            taken += self.hold(line.queue, claimed.held)
        for entries in rest:
            if isinstance(entries, StoreError):
                mend = mend or self._mend(line, entries)
        if rest and not mend:
            line.grouped = True
        return taken, mend

    def new(self, queue: str, entries: list[fetch.RawEntry]) -> int:
        """Hold entries of ``jobs``."""
        number = self._by_queue[queue].number
        places = self._board.hold([entry[0] for entry in entries], number, retries=False)
        self._outbox.held[queue] += len(entries)
        self.waiting.extend(
            [
                (queue, entry, fields, 0, None, place)
                for (entry, fields), place in zip(entries, places, strict=True)
            ]
        )
        return len(entries)

    def hold(self, queue: str, held: Sequence[fetch.Held]) -> int:
        """Hold entries of ``retries``."""
        if held:
            number = self._by_queue[queue].number
            places = self._board.hold([one.entry for one in held], number, retries=True)
            for one, place in zip(held, places, strict=True):
                self.waiting.append((queue, one.entry, one.fields, one.count, one.history, place))
        return len(held)

    def adopt(self, queue: str, held: Sequence[fetch.Held], *, in_retries: bool) -> None:
        """Hold what is pending for this worker and not in its hands: replies that were lost."""
        lost = self.not_in_hand(held)
        if not lost:
            return
        log.warning("found lost deliveries jobs=%d queue=%s", len(lost), queue)
        wanted = [one for one in lost if not one.is_cancelled(in_retries=in_retries)]
        if in_retries:
            self.hold(queue, wanted)
        else:
            self.new(queue, [[one.entry, one.fields] for one in wanted])
        for one in lost:
            if one.is_cancelled(in_retries=in_retries):
                self._end(queue, one, in_retries=in_retries)

    def not_in_hand(self, held: Sequence[fetch.Held]) -> list[fetch.Held]:
        """Return what is not held yet of what is pending for this worker."""
        if not held:
            return []
        # What stands on the board is held, also what another thread is settling just now.
        known = self._board.entries()
        return [one for one in held if one.entry not in known]

    def _end(self, queue: str, held: fetch.Held, *, in_retries: bool) -> None:
        """End a job whose cancel was asked for while its delivery was lost: it does not start."""
        (place,) = self._board.hold([held.entry], self._by_queue[queue].number, retries=in_retries)
        fields = held.fields or [b""]
        count = held.count if in_retries else 0
        self._outbox.held[queue] += not in_retries
        self._outbox.add(
            settle.cancelled(Attempt(queue, self._consumer, held.entry, fields[0], count)),
            (queue, held.entry, fields, count, held.history, place),
        )

    def block(self, *, idle: bool = True) -> float:
        """Return how long a read may wait now, in seconds: never past the next retry."""
        # What is due and was not taken is not for us: who may take it will be woken.
        due = [line.due_in for line in self.lines if line.due_in]
        return max(0.001, min([BLOCK, *due])) if idle else 0.0

    def wait_op(self, block: float) -> Op[list[tuple[str, fetch.RawEntry]]]:
        """Return the op that waits for a new job in any queue."""
        return fetch.read_any([line.queue for line in self.lines], self._consumer, block)

    def woke(self, answer: Answer) -> tuple[int, list[AnyOp]]:
        """Read the answer to `wait_op`. See `took`."""
        if isinstance(answer, StoreError):
            return 0, [op for line in self.lines for op in self._mend(line, answer)]
        for queue, entry in answer:
            self.new(queue, [entry])
        return len(answer), []

    def _mend(self, line: Line, error: StoreError) -> list[AnyOp]:
        if error.code in {"NOGROUP", "UNBLOCKED"}:
            if line.grouped:  # one line for each change of state
                log.warning("made group anew queue=%s reason=%s", line.queue, error)
            line.grouped = False
            return [upkeep.regroup(line.queue)]
        raise error
