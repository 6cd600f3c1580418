"""What a job tells of itself while it runs: its limits, and how it is read again.

Each kind has a key of the job's own. Readers trust none of them: a stranger may have written there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobq.core.current import moment
from jobq.core.numbers import ms_of, whole
from jobq.errors import ReportTooLarge

#: Log lines that are kept with a job, and characters of one.
MOST_LINES: Final = 200
MOST_TEXT: Final = 2000

#: Characters of the note beside a progress, and of the name of a log level.
MOST_NOTE: Final = 200
MOST_LEVEL: Final = 20

#: Chunks that are kept of a stream, and bytes of them all; the oldest go first.
MOST_CHUNKS: Final = 10_000
MOST_BYTES: Final = 8 << 20

#: Bytes of one chunk, and of a checkpoint, encoded.
CHUNK_BYTES: Final = 256 << 10
CHECKPOINT_BYTES: Final = 512 << 10

#: ms that reports are kept after the last one of their kind, while the job lives and when it is
#: dead; once it has succeeded, as long as its result, but not less than the second.
KEPT_MS: Final = 7 * 86_400_000
LEAST_MS: Final = 300_000

#: ms that a checkpoint is kept after it was written, unless the job succeeds before.
CHECKPOINT_MS: Final = 30 * 86_400_000

#: The last second that a datetime can have.
_LAST_MS: Final = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        fraction: from 0 to 1.
        note: what it said beside that; may be empty.
        attempt: which attempt said it.
        at: when (Redis clock).
    """

    fraction: float
    note: str
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job has logged.

    Attributes:
        id: of the line, rising.
        at: when it came to Redis (Redis clock).
        attempt: which attempt logged it.
        level: such as ``INFO``.
        text: what it says; as the job wrote it, so it is not safe to print on a terminal.
    """

    id: str
    at: datetime
    attempt: int
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk that a job has streamed.

    Attributes:
        id: to go on after it: ``handle.stream(after=part.id)``.
        value: what was streamed.
        attempt: which attempt streamed it. A later attempt may stream the same things again.
        number: which chunk of its attempt it is, from 1.
        missed: how many chunks of its attempt stood between the part before and this one, and are
            no longer kept.
    """

    id: str
    value: object
    attempt: int
    number: int
    missed: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as Redis has it: its entry, its attempt, its number in that, its encoded value."""

    entry: str
    attempt: int
    number: int
    blob: bytes

    @property
    def id(self) -> str:
        """What stands for it outside: enough to go on after it, and to tell what was missed."""
        return f"{self.entry}.{self.attempt}.{self.number}"


def position(part_id: str) -> tuple[str, int, int]:
    """Return the entry, the attempt and the number that the id of a part stands for.

    Raises:
        ValueError: it is no such id.
    """
    entry, _, rest = part_id.partition(".")
    attempt, _, number = rest.partition(".")
    ms, _, seq = entry.partition("-")
    words = [whole(one) for one in (attempt, number, ms, seq)]
    if words[0] is None or words[1] is None or None in words[2:] or not part_id.isascii():
        raise ValueError(f"{part_id[:60]!r} is not the id of a part")
    return entry, words[0], words[1]


def missed(last: tuple[int, int], chunk: Chunk) -> int:
    """Return how many chunks are missing between two: attempt and number of the one before."""
    before = last[1] if last[0] == chunk.attempt else 0
    return max(0, chunk.number - before - 1)


def fraction(value: object) -> float:
    """Return how far a job says that it is, from 0 to 1.

    Raises:
        TypeError: it is no number.
        ValueError: it is not a number that can be compared.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"progress() takes a number from 0 to 1, not {type(value).__name__}")
    if math.isnan(value):
        raise ValueError("progress() takes a number from 0 to 1, not nan")
    return float(min(1, max(0, value)))


def short(text: object, most: int) -> str:
    """Return text, cut to so many characters; what UTF-8 cannot say becomes a question mark."""
    said = text if isinstance(text, str) else str(text)
    said = said if len(said) <= most else said[: most - 1] + "…"
    return said.encode("utf-8", "replace").decode()


def check_size(blob: bytes, most: int, what: str) -> bytes:
    """Return encoded bytes that are not too many.

    Raises:
        ReportTooLarge: they are.
    """
    if len(blob) > most:
        raise ReportTooLarge(
            f"{what} has {len(blob):,} bytes, and may have {most:,}. Keep the data elsewhere, "
            "and let it say where"
        )
    return blob


def read_progress(values: Sequence[bytes | None]) -> Progress | None:
    """Read the fraction, the note, the attempt and the time of a progress; None: there is none."""
    raw, note, attempt, at = (one or b"" for one in values)
    try:
        said = float(raw)
    except ValueError:
        return None
    when = ms_of(at)
    if math.isnan(said) or when is None:
        return None
    text = note[: 4 * MOST_NOTE].decode("utf-8", "replace")
    return Progress(
        min(1.0, max(0.0, said)), short(text, MOST_NOTE), whole(attempt) or 0, moment_of(when)
    )


def read_line(entry: str, fields: Sequence[bytes]) -> LogLine | None:
    """Read a log line; None: it is none."""
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    if b"m" not in named:
        return None
    text = named[b"m"][: 4 * MOST_TEXT].decode("utf-8", "replace")
    level = named.get(b"l", b"")[: 4 * MOST_LEVEL].decode("utf-8", "replace")
    return LogLine(
        entry,
        moment_of(ms_of(entry.partition("-")[0]) or 0),
        whole(named.get(b"a", b"")) or 0,
        short(level, MOST_LEVEL),
        short(text, MOST_TEXT),
    )


def read_chunk(entry: str, fields: Sequence[bytes]) -> Chunk | None:
    """Read a chunk; None: it is none."""
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    attempt, number = whole(named.get(b"a", b"")), whole(named.get(b"n", b""))
    if attempt is None or number is None or b"v" not in named:
        return None
    return Chunk(entry, attempt, number, named[b"v"])


def moment_of(ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware datetime, whatever a stranger wrote."""
    return moment(min(ms, _LAST_MS))
