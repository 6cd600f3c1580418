"""Which ops fetch the next jobs of a queue, and what their answers mean; sends nothing itself."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from jobq.core.head import read_head
from jobq.core.lines import HIGH, LOW, RETRIED, letter_of, line_of, lines_of, queue_of
from jobq.core.tally import counted_as
from jobq.errors import StoreError
from jobq.runtime.board import HIGH_USED, LOW_USED, Board
from jobq.runtime.fairness import Turns
from jobq.runtime.item import Item
from jobq.runtime.outbox import Outbox
from jobq.runtime.paused import Paused
from jobq.store import keys
from jobq.store.ops import fetch, inspect, settle, upkeep
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Answer, Answers, AnyOp, Op

log = logging.getLogger("jobq.worker")

#: Seconds that a read may wait for the first job. Short, because Redis 6.2 does not tell those
#: who wait that their group is gone.
BLOCK: Final = 1.0

#: From this many on, a batch may be a little larger than asked for: see `Source.ops`.
_LARGE: Final = 8


class Source:
    """One queue as a worker sees it.

    Attributes:
        queue: its name.
        number: its place in the order of the worker, which stands on the board.
        due_in: seconds until the next retry is due, as of the last look; None: none waits.
        grouped: its groups were there at the last look.
        asked: for how many jobs it was last asked.
    """

    __slots__ = ("asked", "due_in", "grouped", "number", "queue", "_board", "_by_use", "_consumer")

    def __init__(self, queue: str, number: int, consumer: str, board: Board) -> None:
        self.queue = queue
        self.number = number
        self.due_in: float | None = 0.0
        self.grouped = True
        self.asked = 0
        self._consumer = consumer
        self._board = board
        high, low = line_of(queue, HIGH), line_of(queue, LOW)
        self._by_use = {
            0: (queue,),
            HIGH_USED: (high, queue),
            LOW_USED: (queue, low),
            HIGH_USED | LOW_USED: (high, queue, low),
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that are in use, in the order in which their jobs start."""
        return self._by_use[self._board.lines[self.number]]

    def ops(self, want: int, kinds: str, *, new: bool = True) -> list[AnyOp]:
        """Return the ops that take up to ``want`` jobs: retries that are due, then new ones.

        Both go out together. Where that could take two slow jobs instead of one, retries that
        are known to be due go alone, and new ones are read when none was left.
        """
        self.asked = want
        reads = new and (want >= _LARGE or self.due_in is None or self.due_in > 0)
        ops: list[AnyOp] = [fetch.claim(self.queue, self._consumer, want, kinds)]
        if reads:
            ops.append(fetch.read_lines(self.lines, self._consumer, want))
        return ops


class Intake:
    """The queues of a worker, and what it was given and has not run yet.

    Args:
        weights: of each queue; empty: the first one first.
        paused: what must not be taken.

    Attributes:
        waiting: items in the order in which they shall run. The thread that runs jobs takes
            from the left, the one that gives back from the right.
    """

    def __init__(
        self,
        queues: Sequence[str],
        consumer: str,
        outbox: Outbox,
        board: Board,
        weights: Sequence[int] = (),
        *,
        paused: Paused | None = None,
    ) -> None:
        self.sources = [
            Source(queue, number, consumer, board) for number, queue in enumerate(queues)
        ]
        self.waiting: deque[Item] = deque()
        self._by_line = {line: one for one in self.sources for line in lines_of(one.queue)}
        self._turns = Turns(len(queues), weights)
        self._paused = paused or Paused(board.sheet, queues, lambda _: None)
        self._consumer = consumer
        self._outbox = outbox
        self._board = board

    def turns(self, want: int) -> list[tuple[Source, int]]:
        """Return the queues in the order in which to ask them, and each for how many at most."""
        found = [(self.sources[number], most) for number, most in self._turns.next(want)]
        if not (stopped := self._paused.stopped.queues):
            return found
        for source, _ in found:
            if source.queue in stopped:
                self._turns.took(source.number, 0, 1)
        return [pair for pair in found if pair[0].queue not in stopped]

    @property
    def open(self) -> list[Source]:
        """The queues that are not paused."""
        stopped = self._paused.stopped.queues
        return [one for one in self.sources if one.queue not in stopped]

    def took(self, source: Source, answers: Answers) -> tuple[int, list[AnyOp]]:
        """Read the answers to `Source.ops`.

        Returns:
            How many jobs were taken, and ops that must follow, because the group is gone.
        """
        taken = 0
        mend: list[AnyOp] = []
        claimed, *rest = answers
        if not isinstance(claimed, StoreError):
            source.due_in = None if claimed.next_due is None else claimed.next_due / 1000
            taken += self.hold(source.queue, claimed.held)
        for given in rest:  # before anything is raised: what was read is ours
            if not isinstance(given, StoreError):
                taken += sum(self.new(line, entries) for line, entries in given)
        for answer in answers:
            if isinstance(answer, StoreError):
                mend = mend or self._mend(source, answer)
        if rest and not mend:
            source.grouped = True
        if taken or rest:  # else new ones were not even asked for
            self._turns.took(source.number, taken, source.asked)
        return taken, mend

    def new(self, line: str, entries: list[fetch.RawEntry]) -> int:
        """Hold entries of a line."""
        number = self._by_line[line].number
        places = self._board.hold([entry[0] for entry in entries], number, letter_of(line))
        self._outbox.held[line] += len(entries)
        self.waiting.extend(
            [
                (line, entry, fields, 0, None, place)
                for (entry, fields), place in zip(entries, places, strict=True)
            ]
        )
        return len(entries)

    def hold(self, queue: str, held: Sequence[fetch.Held]) -> int:
        """Hold entries of ``retries``."""
        if held:
            number = self._by_line[queue].number
            places = self._board.hold([one.entry for one in held], number, RETRIED)
            for one, place in zip(held, places, strict=True):
                self.waiting.append((queue, one.entry, one.fields, one.count, one.history, place))
        return len(held)

    def adopt(self, line: str, letter: str, held: Sequence[fetch.Held]) -> None:
        """Hold what is pending for this worker and not in its hands: replies that were lost.

        Args:
            line: where they are, or the queue whose retries they are.
            letter: of the stream.
        """
        lost = self.not_in_hand(line, letter, held)
        if not lost:
            return
        log.warning("found lost deliveries jobs=%d queue=%s", len(lost), queue_of(line))
        wanted = [one for one in lost if not one.is_cancelled(letter)]
        if letter == RETRIED:
            self.hold(line, wanted)
        else:
            self.new(line, [[one.entry, one.fields] for one in wanted])
        for one in lost:
            if one.is_cancelled(letter):
                self._end(line, letter, one)

    def not_in_hand(self, line: str, letter: str, held: Sequence[fetch.Held]) -> list[fetch.Held]:
        """Return what is not held yet of what is pending for this worker in a stream."""
        if not held:
            return []
        # What stands on the board is held, also what another thread is settling just now.
        known = self._board.entries(self._by_line[line].number, letter)
        return [one for one in held if one.entry not in known]

    def _end(self, line: str, letter: str, held: fetch.Held) -> None:
        """End a job whose cancel was asked for while its delivery was lost: it does not start."""
        (place,) = self._board.hold([held.entry], self._by_line[line].number, letter)
        fields = held.fields or [b""]
        count = held.count if letter == RETRIED else 0
        attempt = line, self._consumer, held.entry, fields[0], count
        name = read_head(fields[1]).name if len(fields) > 1 else ""
        self._outbox.held[line] += not count
        self._outbox.add(
            settle.cancelled(Attempt(*attempt, job=counted_as(name))),
            (line, held.entry, fields, count, held.history, place),
        )

    def block(self, *, idle: bool = True) -> float:
        """Return how long a read may wait now, in seconds: never past the next retry."""
        # What is due and was not taken is not for us: who may take it will be woken.
        due = [one.due_in for one in self.open if one.due_in]
        return max(0.001, min([BLOCK, *due])) if idle else 0.0

    def wait_op(self, block: float) -> Op[list[tuple[str, fetch.RawEntry]]]:
        """Return the op that waits for a new job in any line that is in use, of an open queue."""
        lines = [line for one in self.open for line in one.lines]
        return fetch.read_any(lines, self._consumer, block)

    def woke(self, answer: Answer) -> tuple[int, list[AnyOp]]:
        """Read the answer to `wait_op`. See `took`."""
        if isinstance(answer, StoreError):
            return 0, [op for one in self.sources for op in self._mend(one, answer)]
        for line, entry in answer:
            self.new(line, [entry])
            self._turns.took(self._by_line[line].number, 1, 1)
        return len(answer), []

    def counts(self) -> list[AnyOp]:
        """Return the ops that tell, at the end of a burst, whether there is more to do."""
        return [inspect.count(one.queue) for one in self.open]

    def is_empty(self, answers: Answers) -> bool:
        """Read the answers to `counts`: nothing runs, or waits that anybody would take.

        Raises:
            StoreError: Redis refused one.
        """
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        for one in answers:
            if one.running or one.ready + one.retrying > one.unknown + one.held:
                return False
        self._paused.say()
        return True

    def greeting(self) -> list[AnyOp]:
        """Return the ops that come first: which lines are in use, what is paused, and groups."""
        asked: list[AnyOp] = [fetch.lines_used(one.queue) for one in self.sources]
        asked += self._paused.ops()
        # Groups come last: so there is one in each line of which is known that it is in use.
        return asked + [upkeep.regroup(one.queue) for one in self.sources]

    def greeted(self, answers: Answers) -> None:
        """Read the answers to `greeting`, none of them an error."""
        answered: Iterator[Answer] = iter(answers)
        for one in self.sources:
            self._board.lines[one.number] = next(answered)
        self._paused.read([next(answered) for _ in self.sources])

    def streams(self) -> list[tuple[str, str, str]]:
        """Return where something can be pending for this worker: line, letter and stream."""
        return [
            found
            for one in self.sources
            for found in (
                *[(line, letter_of(line), keys.jobs(line)) for line in one.lines],
                (one.queue, RETRIED, keys.retries(one.queue)),
            )
        ]

    def _mend(self, source: Source, error: StoreError) -> list[AnyOp]:
        if error.code in {"NOGROUP", "UNBLOCKED"}:
            if source.grouped:  # one line for each change of state
                log.warning("made group anew queue=%s reason=%s", source.queue, error)
            source.grouped = False
            return [upkeep.regroup(source.queue)]
        raise error
