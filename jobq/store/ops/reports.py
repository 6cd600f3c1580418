"""Ops of what jobs report while they run: written by their workers, read by anybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobq.core.reports import (
    CHECKPOINT_MS,
    KEPT_MS,
    MOST_BYTES,
    MOST_CHUNKS,
    MOST_LINES,
    Chunk,
    LogLine,
    Progress,
    read_chunk,
    read_line,
    read_progress,
)
from jobq.store import keys
from jobq.store.keys import GROUP
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op, Script, Word, as_is, call, text

#: Log lines and chunks in one read: of up to some MB, as a rule of some KB.
PAGE = 100

#: The greatest id of an entry; a stranger may have used it.
_GREATEST = "18446744073709551615-18446744073709551615"

_REPORT = Script("report")


@dataclass(frozen=True, slots=True)
class Batch:
    """What an attempt reports at once.

    Attributes:
        reporter: one word for this start of the job.
        number: of this batch, rising from 1.
        shown: the number of the attempt, for those who read.
        progress: how far it is, and a note; None: nothing was said.
        lines: level and text of each log line.
        chunks: number and value of each chunk.
        checkpoint: a value, encoded; None: there is none.
        last_ms: nothing comes after this, and all but the checkpoint is kept for so many ms; 0:
            more comes.
    """

    reporter: str
    number: int
    shown: int
    progress: tuple[float, str] | None = None
    lines: Sequence[tuple[str, str]] = ()
    chunks: Sequence[tuple[int, bytes]] = ()
    checkpoint: bytes | None = None
    last_ms: int = 0


def report(attempt: Attempt, batch: Batch) -> Op[bool]:
    """Write a batch, once; False when the worker no longer owns this attempt."""
    queue, consumer, entry, job_id, count = attempt.fields
    known = job_id.decode()
    every = (
        keys.retries(queue) if count else keys.jobs(queue),
        keys.progress(queue, known),
        keys.log(queue, known),
        keys.chunks(queue, known),
        keys.checkpoint(queue, known),
    )
    said: tuple[Word, Word] = ("", "") if batch.progress is None else batch.progress
    kept = (0, b"") if batch.checkpoint is None else (CHECKPOINT_MS, batch.checkpoint)
    ttl, last = batch.last_ms or KEPT_MS, int(batch.last_ms > 0)
    args: list[Word] = [GROUP, consumer, entry, count, batch.reporter, batch.number, batch.shown]
    args += (ttl, last, *said, *kept, MOST_LINES, MOST_CHUNKS, MOST_BYTES, len(batch.lines))
    for level, line in batch.lines:
        args += (level, line)
    for number, blob in batch.chunks:
        args += (number, blob)
    return call(_REPORT, every, tuple(args), bool)


def checkpoint(queue: str, job_id: str) -> Op[bytes | None]:
    """Read the last checkpoint of a job."""
    return Op(("GET", keys.checkpoint(queue, job_id)), as_is)


def progress(queue: str, job_id: str) -> Op[Progress | None]:
    """Read how far a job is; None: it did not say."""
    return Op(("HMGET", keys.progress(queue, job_id), "f", "n", "a", "t"), read_progress)


def lines(queue: str, job_id: str, after: str = "") -> Op[list[tuple[str, LogLine | None]]]:
    """Read log lines of a job, in order: the entry of each, and the line if it is one.

    Args:
        after: the entry after which to go on; empty: from the start.
    """
    return Op(_range(keys.log(queue, job_id), after), _lines)


def any_lines(queue: str, job_id: str) -> Op[bool]:
    """Ask whether log lines of a job are kept."""
    return Op(("EXISTS", keys.log(queue, job_id)), bool)


def chunks(queue: str, job_id: str, after: str = "") -> Op[list[tuple[str, Chunk | None]]]:
    """Read chunks of a job, in order. See `lines`."""
    return Op(_range(keys.chunks(queue, job_id), after), _chunks)


def _range(key: str, after: str) -> tuple[Word, ...]:
    if after == _GREATEST:  # nothing can follow, and Redis refuses to look
        return ("XRANGE", key, "+", "-", "COUNT", PAGE)
    return ("XRANGE", key, f"({after}" if after else "-", "+", "COUNT", PAGE)


def _lines(reply: Any) -> list[tuple[str, LogLine | None]]:
    return [(text(entry), read_line(text(entry), fields or ())) for entry, fields in reply or ()]


def _chunks(reply: Any) -> list[tuple[str, Chunk | None]]:
    return [(text(entry), read_chunk(text(entry), fields or ())) for entry, fields in reply or ()]
