"""Bounds: what is looked at before values are packed, and before and after they are unpacked.

It is all loops, level by level, and no recursion: nothing that is nested deep can end it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, cast

import msgpack

from jobq.core.extensions import CONTAINERS, FLAT
from jobq.errors import CallUnreadable

#: The most bytes of a call or a result. Redis is no place for files: send a reference.
MAX_CALL_BYTES: Final = 512 * 1024
#: How deep containers may be nested; more is a value that contains itself.
MAX_DEPTH: Final = 32
#: From so many bytes on, the structure is checked before anything is built from it: nested
#: headers that each claim as many items as there are bytes would take bytes * depth of memory.
SCAN_FROM: Final = 4096
#: How much of a blob is looked at for the name of its job.
_HEAD_BYTES: Final = 2048
#: What `is_sure` is sure of: 2 times 50 texts of 1,000 characters are 400 KB at most.
_SURE_ARGUMENTS: Final = 50
_SURE_LENGTH: Final = 1000
_SURE_INT: Final = 1 << 63


def is_plain(args: Iterable[object], kwargs: Mapping[str, object]) -> bool:
    """Tell whether there are only containers and flat values, not too deep and not too many."""
    if type(kwargs) is not dict:
        return False
    level: list[object] | None = [*args, *kwargs.values()]
    for _ in range(MAX_DEPTH + 1):
        if level is None:
            return False
        if FLAT.issuperset(map(type, level)):
            return True
        level = _below(level)
    return False


def is_sure(args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Tell, cheaply, whether a call can be encoded whatever else it holds: few and small atoms.

    False says nothing: encoding it will tell.
    """
    if len(args) > _SURE_ARGUMENTS or len(kwargs) > _SURE_ARGUMENTS or type(kwargs) is not dict:
        return False
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if kind is int:
            if not -_SURE_INT < value < _SURE_INT:  # type: ignore[operator]
                return False
        elif kind is str or kind is bytes:
            if len(value) > _SURE_LENGTH:  # type: ignore[arg-type]
                return False
        elif value is not None and kind is not bool and kind is not float:
            return False
    return True


def _below(level: list[object]) -> list[object] | None:
    """Return what is in the containers of a level; None: the slow way must look at them."""
    below: list[object] = []
    for value in level:
        kind = type(value)
        if kind is list or kind is tuple:
            below += value  # type: ignore[arg-type]
        elif kind in FLAT:
            continue
        elif kind not in CONTAINERS:
            return None
        elif not FLAT.issuperset(map(type, value)):  # type: ignore[call-overload]
            return None  # keys, or members of a set, that may not be hashable when decoded
        elif kind is dict:
            below += value.values()  # type: ignore[attr-defined]
        if len(below) > MAX_CALL_BYTES:  # each takes a byte at least
            return None
    return below


def check_depth(values: Iterable[object], limit: int = MAX_DEPTH) -> None:
    """Raise CallUnreadable where containers are nested deeper than allowed."""
    level = [value for value in values if type(value) in CONTAINERS]
    for _ in range(limit):
        if not level:
            return
        insides = [
            value.values() if isinstance(value, dict) else cast("Iterable[object]", value)
            for value in level
        ]
        level = [value for value in chain.from_iterable(insides) if type(value) in CONTAINERS]
    if level:
        raise CallUnreadable(f"nested deeper than {limit} levels")


def scan(blob: bytes) -> None:
    """Raise if a blob is too big, or not one whole value; nothing is built from it."""
    if len(blob) > MAX_CALL_BYTES:
        raise CallUnreadable(f"{len(blob)} bytes are more than the {MAX_CALL_BYTES} of a call")
    unpacker = msgpack.Unpacker(read_size=len(blob), max_buffer_size=len(blob))
    unpacker.feed(blob)
    unpacker.skip()


def peek(blob: bytes) -> tuple[int | None, str | None]:
    """Return the version and the name out of the beginning of a call."""
    version: object = None
    name: object = None
    try:
        unpacker = msgpack.Unpacker(read_size=_HEAD_BYTES, max_buffer_size=_HEAD_BYTES)
        unpacker.feed(blob[:_HEAD_BYTES])
        if unpacker.read_array_header() > 1:
            version = unpacker.unpack()
            name = unpacker.unpack()
    except Exception:  # noqa: BLE001, S110  garbage, or a name that is cut off
        pass
    return version if type(version) is int else None, name if type(name) is str else None
