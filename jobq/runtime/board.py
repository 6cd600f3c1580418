"""A page of memory that a worker shares with its supervisor: what it holds and what it runs.

The supervisor renews exactly the leases that stand here, learns from it which jobs had been
started when the worker dies, and which of them have run for too long. It leaves notes: that a job
is to be ended, or no longer belongs to this worker. The worker writes without locks and system
calls: plain stores to an anonymous shared map that the fork inherits. A version number that is odd
during a write tells the reader to look again (a seqlock).
"""

import mmap
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jobq.core.lines import HIGH, LETTERS, LOW, NORMAL, RETRIED
from jobq.runtime.sheet import Sheet

#: Entries that a worker can hold: several times what it ever fetches.
CAPACITY: Final = 4096

#: Times that a reader looks for a board that nobody is writing on: 100 ms, most of it asleep.
_LOOKS: Final = 200

#: Queues that fit in the byte that says which.
MOST_QUEUES: Final = 256

#: Bytes of an entry's id: two numbers of 64 bits in decimal, and a dash, are 41 at most.
_ID: Final = 48

#: Notes that fit at a time; the next ones wait until these have been taken.
_MOST_NOTES: Final = 32

_STARTED, _RETRIES, _USED, _HIGH, _LOW = 1, 2, 4, 8, 16

#: How the stream of an entry stands in its flags, by the letter of the stream.
_OF_STREAM: Final = {
    LETTERS[NORMAL]: 0,
    LETTERS[HIGH]: _HIGH,
    LETTERS[LOW]: _LOW,
    RETRIED: _RETRIES,
}
_STREAMS: Final = {flag: letter for letter, flag in _OF_STREAM.items()}
_STREAM: Final = _RETRIES | _HIGH | _LOW

# words of 64 bits
_VERSION, _STATE, _CLIENT, _COUNT, _CURRENT, _RENEWED, _NOTED, _OFFSET = range(8)
_DEADLINES: Final = 8  # and one word for each place
_FLAGS: Final = (_DEADLINES + CAPACITY) * 8
_QUEUES: Final = _FLAGS + CAPACITY
_IDS: Final = _QUEUES + CAPACITY
_NOTES: Final = _IDS + CAPACITY * _ID
_LINES: Final = _NOTES + _MOST_NOTES * (1 + _ID)
_SIZE: Final = _LINES + MOST_QUEUES

STARTING, BUSY, WAITING, DRAINING, ENDED = 0, 1, 2, 3, 4

#: It has said why it ends: Redis refuses its password, which waiting does not cure; another reason.
DENIED, FAILED = 5, 6

#: It has run as many jobs as a worker may, and ends so that a new one takes its place.
REPLACED: Final = 7

#: Which lines of a queue are in use, beside the normal one, as bits.
HIGH_USED, LOW_USED = 1, 2

#: What a note says of an entry: end the job, it was cancelled; it belongs to another worker now.
CANCEL, LOST = b"c", b"l"

#: What it says, and of which job: see `note_name`.
Note = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """An entry on the board: of which queue (by number), of which stream, and whether it runs.

    Attributes:
        letter: of its stream, as in the index: that of its line, or `jobq.core.lines.RETRIED`.
        deadline: monotonic seconds after which its process is to be killed; 0: never.
    """

    entry: str
    queue: int
    letter: str
    started: bool
    deadline: float = 0.0

    @property
    def where(self) -> str:
        """The entry as the index has it: behind the letter of its stream."""
        return self.letter + self.entry


def note_name(entry: bytes, queue: int, letter: str) -> bytes:
    """Return how notes call a job: entries of different streams can have the same id."""
    return b"%d%b%b" % (queue, letter.encode(), entry)


class Board:
    """The page of one worker. The worker writes, the supervisor reads.

    Attributes:
        sheet: where the supervisor writes what is paused.
        lines: by the number of a queue, which of its lines are in use beside the normal one:
            `HIGH_USED` and `LOW_USED`, as bits. Either side writes it.
    """

    def __init__(self) -> None:
        self.sheet = Sheet()
        self._map = mmap.mmap(-1, _SIZE)
        self._bytes = memoryview(self._map)
        self.lines = self._bytes[_LINES:]
        self._words = self._bytes[:_FLAGS].cast("Q")
        self._offset = self._bytes[_OFFSET * 8 : _DEADLINES * 8].cast("d")
        self._free: list[int] = []
        self._top = 0
        # Two threads of the worker write; the supervisor, in its own process, never waits.
        self._lock = threading.Lock()

    # the worker's side

    def says(self, state: int) -> None:
        """Say what the worker does: one of the constants of this module."""
        self._words[_STATE] = state

    def connected(self, client: int) -> None:
        """Say how Redis knows the connection that waits for jobs."""
        self._words[_CLIENT] = client

    def hold(self, entries: Sequence[bytes], queue: int, letter: str) -> range | list[int]:
        """Put entries of one stream on the board; the answer is where each stands."""
        many = len(entries)
        flags = _USED | _OF_STREAM[letter]
        with self._lock:
            self._words[_VERSION] += 1
            if len(self._free) == self._top:  # nothing is held: start at the top again
                self._free.clear()
                self._top = 0
            if self._free or self._top + many > CAPACITY:
                at: range | list[int] = [self._take() for _ in entries]
                for place, entry in zip(at, entries, strict=True):
                    self._write(place, entry, queue, flags)
            else:
                at = self._write_all(entries, queue, flags)
            self._words[_COUNT] = self._top
            self._words[_VERSION] += 1
            return at

    def runs(self, place: int) -> None:
        """Say which single job is about to be started; -1: none.

        If the process dies, that job is charged; for workers that run one job at a time.
        """
        self._words[_CURRENT] = place + 1

    def started(self, place: int) -> None:
        """Say that a job is about to be started, beside others."""
        self._bytes[_FLAGS + place] |= _STARTED

    def stopped(self, place: int) -> None:
        """Say that it has ended: if the process dies now, this job was not why."""
        self._bytes[_FLAGS + place] &= ~_STARTED & 0xFF

    def must_end(self, place: int, at: float) -> None:
        """Say when a job must have ended, or its process is killed.

        Args:
            at: monotonic seconds; 0: there is no such time, or no longer.
        """
        self._words[_DEADLINES + place] = int(at * 1e9)

    def notes(self) -> list[Note]:
        """Take the notes that the supervisor has left."""
        found = [self._note(at) for at in range(self._words[_NOTED])]
        self._words[_NOTED] = 0
        return found

    @property
    def renewed(self) -> float:
        """When the supervisor last renewed the leases, monotonic seconds; 0: not yet."""
        return self._words[_RENEWED] / 1e9

    def drop(self, places: Sequence[int]) -> None:
        """Take entries off the board."""
        with self._lock:
            for place in places:
                self._bytes[_FLAGS + place] = 0
            self._free.extend(places)

    def entries(self, queue: int, letter: str) -> set[bytes]:
        """Return every entry on the board of one stream."""
        return {
            place.entry.encode()
            for place in self.read()
            if place.queue == queue and place.letter == letter
        }

    def _write_all(self, entries: Sequence[bytes], queue: int, flags: int) -> range:
        first, top = self._top, self._top + len(entries)
        ids = b"".join([entry.ljust(_ID) for entry in entries])
        self._bytes[_IDS + first * _ID : _IDS + top * _ID] = ids
        self._bytes[_QUEUES + first : _QUEUES + top] = bytes((queue,)) * len(entries)
        self._bytes[_FLAGS + first : _FLAGS + top] = bytes((flags,)) * len(entries)
        self._top = top
        return range(first, top)

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        if self._top == CAPACITY:
            raise OverflowError(f"more than {CAPACITY} entries held")
        self._top += 1
        return self._top - 1

    def _write(self, place: int, entry: bytes, queue: int, flags: int) -> None:
        start = _IDS + place * _ID
        self._bytes[start : start + _ID] = entry.ljust(_ID)
        self._bytes[_QUEUES + place] = queue
        self._bytes[_FLAGS + place] = flags

    # either side: a worker that has just connected knows the time before its supervisor says it

    @property
    def offset(self) -> float:
        """What to add to monotonic ms to have Redis time in ms; 0: not known yet."""
        return self._offset[0]

    @offset.setter
    def offset(self, ms: float) -> None:
        self._offset[0] = ms

    # the supervisor's side

    @property
    def state(self) -> int:
        """What the worker does."""
        return self._words[_STATE]

    @property
    def client(self) -> int:
        """How Redis knows the connection that waits for jobs; 0: not yet."""
        return self._words[_CLIENT]

    @property
    def running(self) -> int:
        """How many jobs have been started and are not settled."""
        return sum(place.started for place in self.read())

    @property
    def next_deadline(self) -> float:
        """The first time at which a job must have ended, monotonic seconds; 0: there is none."""
        count = min(self._words[_COUNT], CAPACITY)
        every = self._words[_DEADLINES : _DEADLINES + count].tolist()
        return min(filter(None, every), default=0) / 1e9

    def has_renewed(self, at: float) -> None:
        """Say that the leases of what stands here have been renewed, monotonic seconds."""
        self._words[_RENEWED] = int(at * 1e9)

    def leave_notes(self, notes: Sequence[Note]) -> int:
        """Leave notes for the worker, which must be told by a signal to read them.

        Returns:
            How many were left: none while it has not taken those from before.
        """
        if self._words[_NOTED]:
            return 0
        left = notes[:_MOST_NOTES]
        for at, (what, entry) in enumerate(left):
            start = _NOTES + at * (1 + _ID)
            self._bytes[start : start + 1 + _ID] = what + entry.ljust(_ID)
        self._words[_NOTED] = len(left)
        return len(left)

    def _note(self, at: int) -> Note:
        start = _NOTES + at * (1 + _ID)
        note = bytes(self._bytes[start : start + 1 + _ID])
        return note[:1], note[1:].rstrip()

    def read(self) -> list[Place]:
        """Return what is on the board.

        A worker that died in the middle of a write had not started what it was writing, so the
        last look is taken for what it is.
        """
        for look in range(_LOOKS):
            before = self._words[_VERSION]
            copy = self._copy()  # quickly: what is read from it then no longer changes
            if before % 2 == 0 and self._words[_VERSION] == before:
                break
            if look > 10:  # the writer has lost its core in the middle of a write: give it ours
                time.sleep(0.0005)
        return _places(*copy)

    def _copy(self) -> tuple[bytes, bytes, bytes, list[int], int]:
        count = min(self._words[_COUNT], CAPACITY)
        return (
            bytes(self._bytes[_FLAGS : _FLAGS + count]),
            bytes(self._bytes[_QUEUES : _QUEUES + count]),
            bytes(self._bytes[_IDS : _IDS + count * _ID]),
            self._words[_DEADLINES : _DEADLINES + count].tolist(),
            self._words[_CURRENT] - 1,
        )


def _places(
    flags: bytes, queues: bytes, ids: bytes, deadlines: list[int], current: int
) -> list[Place]:
    return [
        Place(
            ids[at * _ID : (at + 1) * _ID].rstrip().decode("ascii", "replace"),
            queues[at],
            _STREAMS[flag & _STREAM],
            bool(flag & _STARTED) or at == current,
            deadlines[at] / 1e9,
        )
        for at, flag in enumerate(flags)
        if flag & _USED
    ]
