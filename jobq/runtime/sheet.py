"""A page of memory on which a supervisor writes for one worker what is paused.

The supervisor looks many times a second; each look has a number. A worker that has looked into
Redis itself, as it does whenever it connects, believes the page again from the first look on that
has begun after that. Plain stores and loads, as on the board (see `jobq.runtime.board`): to ask
whether there is something new costs no system call.
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from jobq.core.pauses import EVERY_JOB, PauseRecord, Stopped

#: Bytes that names fit in: some thousand paused job functions. Pages that nobody writes cost none.
ROOM: Final = 1 << 16

#: Times that a reader looks for a page that nobody is writing on.
_LOOKS: Final = 20

_VERSION, _BEGAN, _ROUND, _SIZE, _HEEDED = range(5)  # words of 64 bits
_TEXT: Final = 5 * 8


class Sheet:
    """The page of one worker. The supervisor writes, the worker reads."""

    __slots__ = ("_bytes", "_map", "_words")

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _TEXT + ROOM)
        self._bytes = memoryview(self._map)
        self._words = self._bytes[:_TEXT].cast("Q")

    # the supervisor's side

    def begin(self, number: int) -> None:
        """Say that a look begins."""
        self._words[_BEGAN] = number

    def write(self, number: int, text: bytes) -> None:
        """Say what is paused, as of a look. See `write_down`."""
        self._words[_VERSION] += 1
        self._words[_SIZE] = len(text)
        self._bytes[_TEXT : _TEXT + len(text)] = text
        self._words[_ROUND] = number
        self._words[_VERSION] += 1

    def still(self, number: int) -> None:
        """Say that a look has seen what stands here already."""
        self._words[_ROUND] = number

    @property
    def heeded(self) -> int:
        """The number of the look as of which the worker knows what is paused."""
        return self._words[_HEEDED]

    # the worker's side

    @property
    def began(self) -> int:
        """The number of the last look that has begun."""
        return self._words[_BEGAN]

    @property
    def number(self) -> int:
        """The number of the look as of which this is."""
        return self._words[_ROUND]

    def heed(self, number: int) -> None:
        """Say as of which look the worker knows what is paused."""
        self._words[_HEEDED] = number

    def read(self) -> tuple[int, bytes] | None:
        """Return the number of a look and what it saw; None: it is just being written."""
        for _ in range(_LOOKS):
            before = self._words[_VERSION]
            number, size = self._words[_ROUND], min(self._words[_SIZE], ROOM)
            text = bytes(self._bytes[_TEXT : _TEXT + size])
            if before % 2 == 0 and self._words[_VERSION] == before:
                return number, text
        return None


def write_down(queues: Sequence[str], records: Mapping[str, Iterable[PauseRecord]]) -> bytes:
    """Return what stands on the sheet of a worker: a line for each pause, whole queues first.

    Args:
        queues: those of the worker, in its order.
        records: what is paused in each queue.
    """
    lines = [
        (record.job is not None, b"%d %b" % (number, (record.job or EVERY_JOB).encode()))
        for number, queue in enumerate(queues)
        for record in records.get(queue, ())
    ]
    text = b""
    for _, line in sorted(lines):
        if len(text) + len(line) >= ROOM:
            break  # more than anybody can pause by hand, and queues come first
        text += line + b"\n"
    return text


def read_down(queues: Sequence[str], text: bytes) -> Stopped:
    """Read what `write_down` wrote."""
    whole: set[str] = set()
    jobs: set[tuple[str, str]] = set()
    for line in text.decode("utf-8", "replace").split("\n")[:-1]:
        number, _, job = line.partition(" ")
        queue = queues[int(number)]
        if job == EVERY_JOB:
            whole.add(queue)
        else:
            jobs.add((queue, job))
    return Stopped(frozenset(whole), frozenset(jobs))
