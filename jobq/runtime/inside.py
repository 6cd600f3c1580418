"""What a job may ask and tell while it runs, as its own threads see it.

A signal or a timeout can end a job at any place, also in here: so nothing here takes a lock. What a
job reports is put into deques and fetched by the thread of `jobq.runtime.reporter`, which alone
talks to Redis.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar, cast

from jobq.core.codec import Codec
from jobq.core.reports import (
    CHECKPOINT_BYTES,
    CHUNK_BYTES,
    MOST_LEVEL,
    MOST_LINES,
    MOST_NOTE,
    MOST_TEXT,
    check_size,
    fraction,
    short,
)
from jobq.core.signing import Signer
from jobq.errors import AttemptLost, CallTooLarge, JobqError, ReportTooLarge, StoreError
from jobq.runtime.answers import Answer, drain, wait, wait_async
from jobq.runtime.item import Item
from jobq.store.ops.reports import Batch, checkpoint, report
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op

T = TypeVar("T")

#: Chunks, and bytes of them, of one job on their way: from then on it waits.
WINDOW: Final = 256
WINDOW_BYTES: Final = 256 << 10

#: Why something is not reported.
ELSEWHERE: Final = "a job reports from the process of its worker only"
ENDED: Final = "the job has ended: it can report nothing any more"

#: Nobody has looked yet.
_UNKNOWN: Final = b"unknown"


class Courier(Protocol):
    """Takes reports to Redis. See `jobq.runtime.reporter.Reporter`."""

    @property
    def codec(self) -> Codec:
        """Encodes values."""

    @property
    def signer(self) -> Signer | None:
        """Signs checkpoints."""

    @property
    def consumer(self) -> str:
        """The worker, as Redis knows it."""

    def poke(self, inside: "Report") -> None:
        """Hear that a report has something."""

    def ask(self, op: Op[T], answer: Answer) -> None:
        """Run an op that reads."""

    def open(self, item: Item, make: "Callable[[str], Report]") -> "Report":
        """Return the report of an attempt, the same each time.

        Args:
            make: makes it, given its name.
        """

    def forget(self, item: Item) -> None:
        """Forget the report of an attempt."""


class Inside:
    """What the jobs of a worker share that have not reported anything.

    Attributes:
        still_mine: tells whether this worker holds the lease of a job.
        courier: takes reports; None: there is none here.
    """

    __slots__ = ("_process", "courier", "still_mine")

    def __init__(self, still_mine: Callable[[Item], bool], courier: Courier | None = None) -> None:
        self.still_mine: Callable[[Item], bool] = still_mine
        self.courier: Courier | None = courier
        self._process = os.getpid()

    def of(self, item: Item, job_id: bytes, redact: Callable[[str], str]) -> "Report":
        """Return the report of an attempt.

        Args:
            redact: takes sensitive arguments out of a text.
        """
        courier = self.courier
        if courier is None:
            raise JobqError("reports of jobs are not taken here")
        if os.getpid() != self._process:  # forked by a job: the thread of the courier is not there
            raise JobqError(ELSEWHERE)

        def make(name: str) -> Report:
            attempt = Attempt(item[0], courier.consumer, item[1], job_id, item[3])
            return Report(courier, item, attempt, name, redact, self.still_mine)

        return courier.open(item, make)


class Report:
    """What one attempt reports. See `jobq.core.current.RunningJob`, whose methods end here.

    Args:
        item: what is reported of.
        attempt: the same, with its fence.
        name: one word for this start of the job.
        redact: takes sensitive arguments out of a text.

    Attributes:
        still_mine: tells whether this worker holds the lease of a job.
        lost: Redis has said that others have the job.
        refusal: what Redis said last when it refused a batch; empty: nothing.
    """

    def __init__(
        self,
        courier: Courier,
        item: Item,
        attempt: Attempt,
        name: str,
        redact: Callable[[str], str],
        still_mine: Callable[[Item], bool],
    ) -> None:
        self.still_mine: Callable[[Item], bool] = still_mine
        self.lost: bool = False
        self.refusal: str = ""
        self._courier = courier
        self._item = item
        self._attempt = attempt
        self._name = name
        self._redact = redact
        self._process = os.getpid()
        self._closed = False
        self._queued = False
        self._number = 0
        self._numbers = itertools.count(1)
        self._progress: deque[tuple[float, str]] = deque(maxlen=1)
        self._lines: deque[tuple[str, str]] = deque(maxlen=MOST_LINES)
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._put = self._taken = 0  # bytes of chunks
        self._checkpoint: deque[bytes] = deque(maxlen=1)
        self._known: bytes | None = _UNKNOWN
        self._last_ms: deque[int] = deque(maxlen=1)
        self._waiters: deque[Answer] = deque()

    def of(self, *_: object) -> "Report":
        """Return this. See `Inside.of`."""
        return self

    # from the threads of the job

    def progress(self, done: float, note: str) -> None:
        """Say how far it is."""
        self._check()
        self._progress.append((fraction(done), self._short(note, MOST_NOTE)))
        self._poke()

    def log(self, text: str, level: str) -> None:
        """Keep a line with the job."""
        self._check()
        self._lines.append((short(level, MOST_LEVEL), self._short(text, MOST_TEXT)))
        self._poke()

    def stream(self, chunk: object) -> None:
        """Send a chunk to those who read."""
        self._add(chunk)
        if self._is_full:
            with suppress(StoreError):  # the reporter has said so, and the job goes on
                wait(self._flush)

    async def astream(self, chunk: object) -> None:
        """See `stream`."""
        self._add(chunk)
        if self._is_full:
            with suppress(StoreError):
                await wait_async(self._flush)

    def checkpoint(self, value: object) -> None:
        """Keep a value for the next attempt."""
        blob = self._seal(value)
        self._checkpoint.append(blob)
        wait(self._flush)
        self._known = blob

    async def acheckpoint(self, value: object) -> None:
        """See `checkpoint`."""
        blob = self._seal(value)
        self._checkpoint.append(blob)
        await wait_async(self._flush)
        self._known = blob

    def checkpointed(self) -> object:
        """Return the value of the last checkpoint."""
        self._check()
        if self._known is _UNKNOWN:
            self._known = cast("bytes | None", wait(self._look))
        return self._unseal(self._known)

    async def acheckpointed(self) -> object:
        """See `checkpointed`."""
        self._check()
        if self._known is _UNKNOWN:
            self._known = cast("bytes | None", await wait_async(self._look))
        return self._unseal(self._known)

    def close(self, last_ms: int) -> None:
        """Wait until all of it is in Redis, or cannot be; nothing comes after this.

        Args:
            last_ms: how long it is kept.
        """
        if self._close(last_ms):
            with suppress(JobqError):
                wait(self._flush)
            self._courier.forget(self._item)

    async def aclose(self, last_ms: int) -> None:
        """See `close`."""
        if self._close(last_ms):
            try:
                with suppress(JobqError):
                    await wait_async(self._flush)
            finally:
                self._courier.forget(self._item)

    # from the thread of the reporter

    def take(self) -> tuple[Op[bool] | None, list[Answer]]:
        """Take out what there is, as an op, and those who wait until it is done."""
        self._queued = False  # before the rest: what is added from now on is said anew
        waiters = drain(self._waiters)  # what they wait for was added before them
        progress, last = drain(self._progress), drain(self._last_ms)
        lines, chunks = drain(self._lines), drain(self._chunks)
        blobs = drain(self._checkpoint)
        self._taken += sum(len(blob) for _, blob in chunks)
        if not (progress or lines or chunks or blobs or last):
            return None, waiters
        self._number += 1
        batch = Batch(
            self._name,
            self._number,
            self._item[3] or 1,
            progress[-1] if progress else None,
            lines,
            chunks,
            blobs[-1] if blobs else None,
            last[-1] if last else 0,
        )
        return report(self._attempt, batch), waiters

    def lose(self) -> None:
        """Hear that others have the job."""
        self.lost = True
        self._courier.forget(self._item)

    @property
    def job_id(self) -> bytes:
        """The job."""
        return self._attempt.job_id

    def _encoded(self, value: object, most: int, what: str) -> bytes:
        try:
            return check_size(self._courier.codec.encode_value(value, what), most, what)
        except CallTooLarge as error:
            raise ReportTooLarge(str(error)) from None

    def _short(self, text: object, most: int) -> str:
        return short(self._redact(short(text, 10 * most)), most)

    def _add(self, chunk: object) -> None:
        self._check()
        self._check_lost()
        blob = self._encoded(chunk, CHUNK_BYTES, "the chunk")
        self._chunks.append((next(self._numbers), blob))
        self._put += len(blob)
        self._poke()

    @property
    def _is_full(self) -> bool:
        return len(self._chunks) > WINDOW or self._put - self._taken > WINDOW_BYTES

    def _seal(self, value: object) -> bytes:
        self._check()
        self._check_lost()
        blob = self._encoded(value, CHECKPOINT_BYTES, "the checkpoint")
        signer = self._courier.signer
        return blob if signer is None else signer.sign(self._queue, self._signed_for.decode(), blob)

    def _unseal(self, blob: bytes | None) -> object:
        if blob is None:
            return None
        signer = self._courier.signer
        if signer is not None:
            blob = signer.open(self._queue, self._signed_for, blob)
        return self._courier.codec.decode_value(blob)

    @property
    def _queue(self) -> str:
        return self._item[0].partition(" ")[0]

    @property
    def _signed_for(self) -> bytes:
        """What a checkpoint is signed for: the space keeps it from being taken for a call."""
        return b"checkpoint " + self._attempt.job_id

    def _close(self, last_ms: int) -> bool:
        if self._closed or self.lost:
            return False
        self._closed = True
        if not self._number and not self._has_any():  # it has only asked
            self._courier.forget(self._item)
            return False
        self._last_ms.append(last_ms)
        return True

    def _has_any(self) -> bool:
        return bool(self._progress or self._lines or self._chunks or self._checkpoint)

    def _check(self) -> None:
        if os.getpid() != self._process:
            raise JobqError(ELSEWHERE)
        if self._closed:
            raise JobqError(ENDED)

    def _check_lost(self) -> None:
        if self.lost:
            raise AttemptLost

    def _poke(self) -> None:
        if not self._queued:
            self._say()

    def _flush(self, answer: Answer) -> None:
        self._waiters.append(answer)
        self._say()

    def _say(self) -> None:
        try:
            self._queued = True
            self._courier.poke(self)
        except BaseException:  # the job was ended just here; what it reports next is said again
            self._queued = False
            raise

    def _look(self, answer: Answer) -> None:
        self._courier.ask(checkpoint(self._queue, self._attempt.job_id.decode()), answer)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiters)
