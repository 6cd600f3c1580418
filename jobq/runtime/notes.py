"""What the supervisor has said of single jobs of this worker: that they are to end, or are lost.

A note comes with a signal, which may find its job about to start, running, or just ended. So a
wish to end a job is kept for a moment, until somebody has claimed it: whoever can end the job.
"""

from collections.abc import Sequence
from typing import Final

from jobq.core.clock import Clock
from jobq.core.lines import RETRIED, letter_of, lines_of
from jobq.runtime.board import CANCEL, LOST, Board, note_name
from jobq.runtime.inside import Inside
from jobq.runtime.item import Item

#: Seconds that a job is looked for, whose cancel was asked for.
LOOK: Final = 1.0

#: Jobs of which is remembered what was said.
_MOST: Final = 1000


class Notes:
    """The notes that this worker has taken.

    Taken in the main thread, from a signal handler; read by any thread. Each step is a single
    operation on a dict, so there is no lock.

    Args:
        queues: the queues of the worker, in its order.
        lease: seconds.
    """

    def __init__(self, board: Board, queues: Sequence[str], *, lease: float, clock: Clock) -> None:
        self._board = board
        #: By line: the number of its queue, and its letter.
        self._places = {
            line: (number, letter_of(line))
            for number, queue in enumerate(queues)
            for line in lines_of(queue)
        }
        self._lease = lease
        self._clock = clock
        self._born = clock.monotonic()
        #: Asked to be cancelled, and until when they are looked for.
        self._wanted: dict[bytes, float] = {}
        self._asked: dict[bytes, None] = {}
        self._lost: dict[bytes, None] = {}
        #: What jobs are given that run here; the worker tells it where they report.
        self.inside = Inside(self.still_mine)

    @property
    def wanted(self) -> bool:
        """Whether a job is to be ended that nobody has claimed yet."""
        return bool(self._wanted)

    def take(self) -> None:
        """Take what the supervisor has left on the board."""
        until = self._clock.monotonic() + LOOK
        for what, name in self._board.notes():
            if what == CANCEL:
                self._wanted[name] = until
                _remember(self._asked, name)
            elif what == LOST:
                _remember(self._lost, name)

    def claim(self, item: Item) -> bool:
        """Whether the caller is to end this job: true once for each cancel."""
        return self._wanted.pop(self._name(item), None) is not None

    def wants(self, item: Item) -> bool:
        """Whether this job is to be ended, and nobody has claimed it."""
        return self._name(item) in self._wanted

    def forget_old(self) -> None:
        """Stop looking for jobs that were not found: they have ended by themselves."""
        now = self._clock.monotonic()
        for name, until in list(self._wanted.items()):
            if until < now:
                self._wanted.pop(name, None)

    def asked(self, item: Item) -> bool:
        """Whether the cancel of this job was asked for."""
        return self._name(item) in self._asked

    def still_mine(self, item: Item) -> bool:
        """Whether this worker still holds the lease of a job, as far as it knows."""
        if self._name(item) in self._lost:
            return False
        renewed = self._board.renewed or self._born
        return self._clock.monotonic() - renewed < self._lease

    def _name(self, item: Item) -> bytes:
        number, letter = self._places[item[0]]
        return note_name(item[1], number, RETRIED if item[3] > 0 else letter)


def _remember(known: dict[bytes, None], name: bytes) -> None:
    known[name] = None
    while len(known) > _MOST:  # the oldest have long ended
        known.pop(next(iter(known)), None)
