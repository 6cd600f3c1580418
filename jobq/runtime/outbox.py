"""What has happened and is not yet in Redis: outcomes, kept until Redis has answered for them."""

import logging
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

from jobq.core import tally
from jobq.core.lines import lines_of, queue_of
from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.runtime.delivery import Finished
from jobq.runtime.item import Item
from jobq.store.ops import settle
from jobq.store.ops.settle import AGAIN
from jobq.store.wire import Answers, AnyOp, Op

log = logging.getLogger("jobq.worker")

T = TypeVar("T")

#: Outcomes in one script call: far below the 8,000 values that Lua can unpack.
MOST = 1000


class Posting:
    """Outcomes on their way to Redis: the ops, and what they were made of."""

    __slots__ = ("groups", "ops", "others")

    def __init__(self) -> None:
        self.ops: list[AnyOp] = []
        self.groups: list[tuple[str, list[Finished]]] = []
        self.others: list[tuple[Op[bool], Item]] = []


class Outbox:
    """The outcomes of a worker.

    Appending and taking are single operations on deques, so the thread that runs jobs and the one
    that flushes need no lock.

    Args:
        consumer: this worker, as Redis knows it.
        board: has Redis time.

    Attributes:
        refused: Redis answered the last time, and refused; sending again at once is no use.
        missed: an outcome was for what is no longer ours, so it can be ours anew: a retry that was
            parked and taken again in a trip whose answers were lost. Whoever looks for it clears
            this.
        groupless: the queues whose group an outcome has missed. Whoever makes it anew clears this.
    """

    def __init__(self, queues: Sequence[str], consumer: str, board: Board) -> None:
        lines = [line for queue in queues for line in lines_of(queue)]
        self._consumer = consumer
        self._board = board
        #: First attempts that succeeded, by line: appended to by whoever ran them.
        self.done: dict[str, deque[Finished]] = {line: deque() for line in lines}
        self._others: deque[tuple[Op[bool], Item]] = deque()
        self._resent = False
        self.refused = self.missed = False
        self.groupless: set[str] = set()
        #: How many entries this worker holds of each line.
        self.held: dict[str, int] = dict.fromkeys(lines, 0)

    def __bool__(self) -> bool:
        return bool(self._others) or any(self.done.values())

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self.done.values()))

    def add(self, op: Op[bool], item: Item) -> None:
        """Add any other outcome: its op, and what it is the outcome of."""
        self._others.append((op, item))

    def take(self, *, alone: bool = True) -> Posting:
        """Take everything out, as ops; `settled` or `put_back` must follow.

        Args:
            alone: nobody else is settling at the same time, so what is held is known.
        """
        posting = Posting()
        for line, done in self.done.items():
            # After a cut Redis may know more, or less, than we do.
            held = self.held[line] if alone and not self._resent else -1
            while done:
                batch = _pop(done, MOST)
                posting.groups.append((line, batch))
                counts = counts_of(batch, self._board.offset / 1000)
                op = settle.settle(line, self._consumer, batch, held=held, counts=counts)
                posting.ops.append(op)
                held = -1  # the batch before it changes that
        posting.others = _pop(self._others, MOST)
        posting.ops += [op for op, _ in posting.others]
        return posting

    def settled(self, posting: Posting, answers: Answers) -> list[int]:
        """Read what Redis answered; what it refused for now is kept.

        Returns:
            The places on the board that are free now.
        """
        free: list[int] = []
        lost: list[str] = []
        kept = 0
        groups = len(posting.groups)
        for (line, batch), answer in zip(posting.groups, answers[:groups], strict=True):
            if isinstance(answer, StoreError):
                kept += self._refused(answer, len(batch), line)
                self.done[line].extendleft(reversed(batch))
            else:
                gone = self._gone(line, batch, answer)
                free += [done[4] for done in gone]
                self.held[line] -= len(gone)
                lost += [entry.decode() for entry in answer if entry != AGAIN]
        for (op, item), answer in zip(posting.others, answers[groups:], strict=True):
            if isinstance(answer, StoreError):
                kept += self._refused(answer, 1, item[0])
                self._others.append((op, item))
            else:
                free.append(item[5])
                self.held[item[0]] -= not item[3]
                lost += [] if answer else [item[1].decode()]
        # After a resend "not yours" mostly means "done already": the first try got through.
        if lost and not self._resent:
            log.warning("lost lease jobs=%d entries=%s", len(lost), " ".join(lost[:10]))
        self.missed = self.missed or bool(lost)
        self._resent = kept > 0
        if self.refused and posting.ops and not kept:
            log.warning("settled what was kept")
        self.refused = kept > 0 or (self.refused and not posting.ops)
        return free

    def put_back(self, posting: Posting) -> None:
        """Keep what was on its way when the connection was cut; it will be sent again."""
        for line, batch in reversed(posting.groups):
            self.done[line].extendleft(reversed(batch))
        self._others.extendleft(reversed(posting.others))
        self._resent = True

    def _gone(
        self, line: str, batch: list[Finished], answer: Sequence[bytes]
    ) -> Sequence[Finished]:
        """Return which outcomes are done with: all, or those that were refused if none was."""
        if answer[:1] != [AGAIN]:
            return batch
        refused = set(answer)
        self.done[line].extendleft(done for done in reversed(batch) if done[0] not in refused)
        return [done for done in batch if done[0] in refused]

    def _refused(self, error: StoreError, many: int, line: str) -> int:
        if error.code == "NOGROUP":
            self.groupless.add(queue_of(line))
        if not self.refused:  # one line for each change of state
            log.error("kept outcomes jobs=%d error=%s", many, error)
        return many


def counts_of(batch: Sequence[Finished], offset: float) -> list[tuple[str, str]]:
    """Return what is counted of a batch, by job function, as scripts take it.

    Args:
        offset: seconds from monotonic time to Redis time.
    """
    *_, names, ready, spans = zip(*batch, strict=True)
    found = tally.by_job(names, ready, spans, offset)
    return [(name, tally.words(counts)) for name, counts in found.items()]


def _pop(items: "deque[T]", most: int) -> list[T]:
    """Take items out one by one: another thread may append meanwhile."""
    taken: list[T] = []
    try:
        while len(taken) < most:
            taken.append(items.popleft())
    except IndexError:
        pass
    return taken
