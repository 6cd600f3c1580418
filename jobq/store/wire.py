"""One round trip to Redis as a value: the words that go out, and how the reply is read.

What an operation *is* stands here and in ``ops``; ``sync`` and ``aio`` only carry it, so that
nothing is written twice. The packing and the parsing of the protocol are hiredis's.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

import hiredis

from jobq.core.clock import Clock
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

#: What the ACL says inside of a script: Redis 7, Redis 6.2.
_DENIED_IN_SCRIPT = re.compile("ACL failure in script|The user executing the script can't")

#: Redis is there, but cannot serve for now; nothing was executed.
_FOR_NOW = {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"}


#: Lets the scripts of a process obey the clock of tests, with 1; see `jobq.store.clock`.
TEST_CLOCK = "JOBQ_TEST_CLOCK"


class Script:
    """A Lua file, known to Redis by the hash of its text: releases never replace each other's.

    Read at its first use: a program that imports jobq pays for no more than it calls.

    Attributes:
        name: the file's name without its ending.
        parts: the names of files of functions that it uses, in ``lua/parts``.
        text: what Redis is given.
        sha: how Redis knows it.
        every: all there are.
        caches: forget what was made of the texts and shas.
        change: what is done to a text when it is read; None: nothing.
    """

    __slots__ = ("name", "parts", "sha", "text")

    every: ClassVar["list[Script]"] = []
    caches: ClassVar[list[Callable[[], None]]] = []
    change: ClassVar[Callable[[str], str] | None] = None

    name: str
    parts: tuple[str, ...]
    text: str
    sha: str

    def __init__(self, name: str, *parts: str) -> None:
        self.name = name
        self.parts = parts
        self.every.append(self)

    def __getattr__(self, attribute: str) -> str:
        """Read the file when ``text`` or ``sha`` is asked for the first time."""
        if attribute not in {"text", "sha"}:
            raise AttributeError(attribute)
        from hashlib import sha1  # noqa: PLC0415  3 ms, for OpenSSL

        text = "".join(map(_read, (*(f"parts/{name}" for name in self.parts), self.name)))
        if Script.change is None and os.environ.get(TEST_CLOCK) == "1":
            Script.change_all(import_module("jobq.store.moved").moved)
        self.text = text if Script.change is None else Script.change(text)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        return str(object.__getattribute__(self, attribute))

    @classmethod
    def change_all(cls, change: Callable[[str], str] | None) -> None:
        """Read all files again, each at its next use, and change what is read."""
        cls.change = change
        for script in cls.every:
            for attribute in ("text", "sha"):
                with suppress(AttributeError):
                    delattr(script, attribute)
        for forget in cls.caches:
            forget()


def _read(name: str) -> str:
    with open(f"{_LUA}{name}.lua", encoding="utf-8") as file:  # noqa: PTH123  pathlib is slow to import
        return file.read()


@dataclass(slots=True)
class Op(Generic[T]):
    """One round trip. Not to be changed; frozen, it would take three times as long to make.

    Attributes:
        words: the command, ready to be packed.
        parse: makes the answer of the reply.
        script: the Lua behind an EVALSHA, for when Redis does not know it.
        stamp_at: where the connection puts its lane and the next number; 0: nowhere.
        block: seconds that Redis may wait before it replies.
        joins: what stands from ``stamp_at`` on may go out in one op with that of others that
            are alike before it; each then has its own share of the answer.
    """

    words: tuple[Word, ...]
    parse: Callable[[Any], T]
    script: Script | None = None
    stamp_at: int = 0
    block: float = 0.0
    joins: bool = False


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
    elif code in {"NOAUTH", "WRONGPASS", "NOPERM"} or _DENIED_IN_SCRIPT.search(said):
        kind, said = StoreDenied, f"{said.rstrip('.')}. {_fix(code)}"
    elif code in _FOR_NOW:
        kind = StoreUnavailable
    return kind(said, code=code)


def _fix(code: str) -> str:
    if code in {"NOAUTH", "WRONGPASS"}:
        return "Check user and password in the URL."
    return "Give the user the rights of its role (docs/guide/security.md), or use another one."


class Lane:
    """A producer connection as Redis knows it; it outlives reconnects, not the process.

    Every enqueue carries the lane and a number that rises from call to call; the script adds only
    what is above the last one seen, so a resend after a cut adds nothing (as Kafka's idempotent
    producer). The number is Redis time in microseconds, so that lanes that have been silent
    for long can be told and swept.
    """

    __slots__ = ("_ahead", "_clock", "_number", "name")

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._ahead = 0.0
        self._number = 0

    def set_time(self, reply: Any) -> None:
        """Learn Redis time from the reply of TIME."""
        now = int(reply[0]) * 1_000_000 + int(reply[1])
        self._ahead = now - self._clock.monotonic() * 1e6

    def next(self) -> int:
        """Return the number of the next call."""
        now = int(self._clock.monotonic() * 1e6 + self._ahead)
        self._number = number = max(self._number + 1, now)
        return number

    def stamp(self, op: Op[Any]) -> tuple[Word, ...]:
        """Return the words of an op with the lane and the next number, where it takes them."""
        words, at = op.words, op.stamp_at
        return (*words[:at], self.name, self.next(), *words[at:]) if at else words


def in_full(op: Op[Any], words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Return the words of an op with the text of its script, for sending them again.

    After a cut, NOSCRIPT would not say that nothing was done: the first try may have been executed
    by a server that has forgotten its scripts since.
    """
    return words if op.script is None else ("EVAL", op.script.text, *words[2:])


def pack(words: tuple[Word, ...]) -> bytes:
    """Return a command as Redis reads it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # invariant in its stub
    return packed
