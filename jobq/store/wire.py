"""One round trip to Redis as a value: the words that go out, and how the reply is read.

What an operation *is* stands here and in ``ops``; ``sync`` and ``aio`` only carry it, so that
nothing is written twice. The packing and the parsing of the protocol are hiredis's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import hiredis

from jobq.errors import (
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

T = TypeVar("T")

_LUA = f"{__file__.rpartition('wire')[0]}lua/"

Word = str | bytes | int | float

#: Error codes of Redis that we handle by name, wherever they stand: 6.2 wraps the errors of a
#: script in a sentence of its own.
_CODES = re.compile(
    r"\b(OOM|READONLY|NOSCRIPT|NOGROUP|UNBLOCKED|WRONGTYPE|BUSYGROUP|LOADING|MASTERDOWN|"
    r"CLUSTERDOWN|TRYAGAIN|BUSY|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|UNKILLABLE)\b"
)

#: Redis is there, but cannot serve for now; nothing was executed.
_FOR_NOW = {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"}


class Script:
    """A Lua file, known to Redis by the hash of its text: releases never replace each other's.

    Read at its first use: a program that imports jobq pays for no more than it calls.

    Attributes:
        name: the file's name without its ending.
    """

    __slots__ = ("_sha", "_text", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._text = ""
        self._sha = ""

    @property
    def text(self) -> str:
        """What Redis is given."""
        if not self._text:
            with open(f"{_LUA}{self.name}.lua", encoding="utf-8") as file:  # noqa: PTH123  pathlib is slow to import
                self._text = file.read()
        return self._text

    @property
    def sha(self) -> str:
        """How Redis knows it."""
        if not self._sha:
            from hashlib import sha1  # noqa: PLC0415  3 ms, for OpenSSL

            self._sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        return self._sha


@dataclass(frozen=True, slots=True)
class Op(Generic[T]):
    """One round trip.

    Attributes:
        words: the command, ready to be packed.
        parse: makes the answer of the reply.
        script: the Lua behind an EVALSHA, for when Redis does not know it.
        stamp_at: where the connection puts its lane and the next sequence number; 0: nowhere.
        block: seconds that Redis may wait before it replies.
    """

    words: tuple[Word, ...]
    parse: Callable[[Any], T]
    script: Script | None = None
    stamp_at: int = 0
    block: float = 0.0


#: An op whose answer the caller knows how to read.
AnyOp = Op[Any]

#: What an op came to: what its `parse` returns, or a `StoreError`.
Answer = Any

#: What ops came to, in their order.
Answers = list[Any]


def call(
    script: Script,
    keys: tuple[str, ...],
    args: tuple[Word, ...],
    parse: Callable[[Any], T],
    *,
    stamped: bool = False,
) -> Op[T]:
    """Return the op that runs a script."""
    words = ("EVALSHA", script.sha, len(keys), *keys, *args)
    return Op(words, parse, script, 3 + len(keys) if stamped else 0)


def as_is(reply: Any) -> Any:
    """Return a reply as Redis gave it."""
    return reply


def nothing(reply: Any) -> None:
    """Drop a reply that says no more than that it was done."""


def text(reply: Any) -> str:
    """Return a reply as text, whatever its bytes."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def pairs(reply: Any) -> dict[str, Any]:
    """Return a reply of names and values as a dict: RESP2 sends a list, RESP3 a map."""
    if isinstance(reply, dict):
        return {text(name): value for name, value in reply.items()}
    return {text(reply[i]): reply[i + 1] for i in range(0, len(reply), 2)}


def error_of(reply: Exception) -> StoreError:
    """Return our exception for an error reply of Redis."""
    said = str(reply)
    found = _CODES.search(said)
    code = found.group(1) if found else said.split(" ", 1)[0]
    kind: type[StoreError] = StoreError
    if code == "OOM":
        kind, said = StoreFull, "Redis is out of memory (maxmemory): nothing was added"
    elif code == "READONLY":
        kind, said = StoreReadOnly, "Redis is a read-only replica: nothing was written"
    elif code in {"NOAUTH", "WRONGPASS", "NOPERM"}:
        kind = StoreDenied
    elif code in _FOR_NOW:
        kind = StoreUnavailable
    return kind(said, code=code)


class Lane:
    """A producer connection as Redis knows it; it outlives reconnects, not the process.

    Every enqueue carries the lane and its next sequence number; the script adds only what is
    above the last one seen, so a resend after a cut adds nothing (as Kafka's idempotent producer).
    """

    __slots__ = ("name", "_seq")

    def __init__(self, name: str) -> None:
        self.name = name
        self._seq = 0

    def stamp(self, op: Op[Any]) -> tuple[Word, ...]:
        """Return the words of an op with the next sequence number, where it takes one."""
        if not op.stamp_at:
            return op.words
        self._seq += 1
        return (*op.words[: op.stamp_at], self.name, self._seq, *op.words[op.stamp_at :])


def pack(words: tuple[Word, ...]) -> bytes:
    """Return a command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # invariant in its stub
    return packed
