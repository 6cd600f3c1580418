"""Dead letters as lines of JSON that can be taken in again, here or by another Redis.

What a line says in words is for people; what is taken in is under ``exact``: the call and what
the letter says as base64 of their bytes, the line of the queue, and when the job failed. There is
nothing exact where a call has sensitive arguments, unless they are asked for.
"""

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from jobq.client.walking import Found
from jobq.core.checks import check_queue
from jobq.core.codec import Codec
from jobq.core.fingerprint import group_of
from jobq.core.head import read_head
from jobq.core.ids import check_job_id
from jobq.core.letter import Letter
from jobq.core.redact import stub
from jobq.core.signing import inner
from jobq.errors import CallTooNew, CallUnreadable, OptionError
from jobq.store.ops.enqueue import register_queue
from jobq.store.ops.inspect import DeadEntry
from jobq.store.ops.letters import take_in
from jobq.store.sync import Store

#: The most characters of a line: a call and its history are a megabyte and a half in base64 at
#: most, and stand in the words too.
MOST_CHARS: Final = 16 * 1024 * 1024

_BATCH: Final = 100
#: Characters of lines that are held at once, beside the last one.
_BATCH_CHARS: Final = MOST_CHARS
_LINES: Final = frozenset("jhl")
#: Milliseconds of the last second that a datetime can have.
_LAST_MS: Final = 253_402_300_799_000
#: The id of what could not be read, which holds the entry that it had.
_UNREADABLE: Final = re.compile(r"unreadable-[0-9]{1,20}-[0-9]{1,20}")

_LEFT_OUT: Final = (
    "its arguments were left out, for some are sensitive: jobq dlq export --sensitive has them"
)


class NotALetter(ValueError):
    """A line is no dead letter that can be taken in; says why."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of taking in some lines.

    Attributes:
        added: how many dead letters were added.
        known: how many were there already, as dead letters or as jobs.
        refused: number of a line, and why it was refused.
    """

    added: int
    known: int
    refused: tuple[tuple[int, str], ...]


def exact(found: Found, *, sensitive: bool) -> dict[str, object] | None:
    """Return what a line needs to be taken in again; None: it has sensitive arguments.

    Args:
        found: the dead letter.
        sensitive: give them away.
    """
    dead = found.dead
    call = inner(dead.call)
    if not sensitive and stub(call) != call:
        return None
    return {
        "call": b64encode(dead.call).decode(),
        "letter": b64encode(dead.letter).decode(),
        "line": dead.line or "j",
        "failed_ms": dead.failed_ms,
    }


def take_in_lines(store: Store, codec: Codec, lines: Iterable[str]) -> Iterator[Taken]:
    """Take in lines, and tell of each hundred of them what came of it.

    Whatever the number of tries, a letter is added once: not where there is a job of its id in
    whatever state, or where the result of one is kept.

    Raises:
        StoreError: Redis refused or is gone; what was told is in.
    """
    known: set[str] = set()
    numbered = enumerate(lines, 1)
    while batch := _batch(numbered):
        read: list[Found] = []
        refused: list[tuple[int, str]] = []
        for number, line in batch:
            try:
                read += [read_line(line, codec)] if line.strip() else []
            except NotALetter as error:
                refused.append((number, str(error)))
        for queue in sorted({one.queue for one in read} - known):
            store.run(register_queue(queue))
            known.add(queue)
        added = sum(_add(store, read))
        yield Taken(added, len(read) - added, tuple(refused))


def _batch(numbered: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the next lines: fewer where they are long, for anybody may have made the file."""
    batch: list[tuple[int, str]] = []
    chars = 0
    while chars < _BATCH_CHARS and len(batch) < _BATCH and (one := next(numbered, None)):
        batch.append(one)
        chars += len(one[1])
    return batch


def read_line(line: str, codec: Codec) -> Found:
    """Read a line that `exact` is in.

    Raises:
        NotALetter: it is something else, or cannot be taken in.
    """
    if len(line) > MOST_CHARS:
        raise NotALetter(f"it has more than {MOST_CHARS:,} characters")
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError):
        raise NotALetter("it is not JSON") from None
    match row:
        case {"id": str(), "queue": str(), "exact": None}:
            raise NotALetter(_LEFT_OUT)
        case {"id": str(job_id), "queue": str(queue)}:
            exact = cast("dict[str, object]", row).get("exact")
            if isinstance(exact, dict):
                return _found(job_id, queue, cast("dict[str, object]", exact), codec)
        case _:
            pass
    raise NotALetter("it is no dead letter as `jobq dlq export` writes them")


def _found(job_id: str, queue: str, parts: dict[str, object], codec: Codec) -> Found:
    try:
        check_queue(queue)
        if _UNREADABLE.fullmatch(job_id) is None:
            check_job_id(job_id)
    except OptionError as error:
        raise NotALetter(str(error)) from None
    match parts:
        case {"call": str(call), "letter": str(letter), "line": str(line), "failed_ms": int(ms)}:
            if line not in _LINES or type(ms) is not int or not 0 <= ms <= _LAST_MS:
                raise NotALetter("its line or the time when it failed is none")
        case _:
            raise NotALetter("what is exact of it lacks the call, the letter, line or failed_ms")
    dead = DeadEntry("", job_id, _bytes(call), _bytes(letter), line=line, at=b"%d" % ms)
    _check(dead, codec)
    return Found(queue, dead)


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise NotALetter("its call or its letter is not base64") from None


def _check(dead: DeadEntry, codec: Codec) -> None:
    try:
        letter = Letter.decode(dead.letter)
    except CallUnreadable as error:
        raise NotALetter(f"what it says cannot be read: {error}") from None
    if not letter.readable:
        return  # it is kept to be looked at
    try:
        codec.decode_call(inner(dead.call))
    except CallTooNew:
        return  # a worker may know what this program does not
    except CallUnreadable as error:
        raise NotALetter(f"its call cannot be read: {error}") from None


def _add(store: Store, found: Sequence[Found]) -> Iterator[bool]:
    return store.run_each(
        take_in(
            queue, dead, group_of(read_head(dead.call).name, Letter.decode(dead.letter).failure)
        )
        for queue, dead in found
    )
