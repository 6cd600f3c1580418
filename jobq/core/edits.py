"""Arguments of a call, changed: one at a time by its path, or all of them as edited JSON; pure.

What was not changed stays the very value that it was: a date, a tuple or a type of the user's own,
none of which JSON has.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Final

from jobq.core.marks import WORD
from jobq.errors import OptionError

ARGS: Final = "args"
KWARGS: Final = "kwargs"

_PATH: Final = re.compile(r"(args|kwargs)((?:\.[^.]+)+)")
_FORM: Final = "such as kwargs.user_id=7, args.0='\"Hi\"' or kwargs.order.items.0=null"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for a part of the arguments.

    Attributes:
        path: ``args`` or ``kwargs``, and the keys and indexes from there on.
        value: what stands there from now on.
    """

    path: tuple[str, ...]
    value: object

    @staticmethod
    def parse(path: str, value: object) -> "Assignment":
        """Read a path such as ``kwargs.order.items.0``.

        Raises:
            OptionError: it is none.
        """
        if _PATH.fullmatch(path) is None:
            raise OptionError(f"{path[:40]!r} names no argument; use a path, {_FORM}")
        return Assignment(tuple(path.split(".")), value)


def assign(
    args: Sequence[object], kwargs: dict[str, object], changes: Sequence[Assignment]
) -> tuple[list[object], dict[str, object]]:
    """Return arguments with changes; what was given stays as it is.

    Raises:
        OptionError: there is nothing at a path, or nothing in which something could stand.
    """
    every: object = {ARGS: list(args), KWARGS: dict(kwargs)}
    for change in changes:
        every = _with(every, change.path, change.value, "")
    assert isinstance(every, dict)
    return every[ARGS], every[KWARGS]


def merge(original: object, shown: object, edited: object) -> object:
    """Return a value after its JSON was edited.

    Args:
        original: the value.
        shown: what it was in JSON, before.
        edited: what the JSON is now; what is the same as before stays the original.

    Raises:
        OptionError: what stands for a sensitive value is where it was not before.
    """
    if _same(shown, edited):
        return original
    if edited == WORD:
        raise OptionError(f"{WORD} stands for a value that is not shown; it must stay where it was")
    match original, shown, edited:
        case dict(), dict(), dict() if len(original) == len(shown):
            known = dict(zip(shown, original.items(), strict=True))
            merged: dict[object, object] = {}
            for name, value in edited.items():
                key, old = known.get(name, (name, None))
                merged[key] = merge(old, shown.get(name, _NOTHING), value)
            return merged
        case (list() | tuple(), list(), list()) if len(original) == len(shown):
            filled = zip_longest(original, shown, edited, fillvalue=_NOTHING)
            parts = [merge(*three) for three in islice(filled, len(edited))]
            return tuple(parts) if isinstance(original, tuple) else parts
    return edited


_NOTHING: Final = object()


def _same(one: object, other: object) -> bool:
    """Tell whether two values out of JSON are the same; in Python, 1, 1.0 and True are equal."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
        case list(), list():
            pairs = zip(one, other, strict=False)
            return len(one) == len(other) and all(_same(*pair) for pair in pairs)
    return type(one) is type(other) and one == other


def _with(whole: object, path: Sequence[str], value: object, where: str) -> object:
    if not path:
        return value
    key, rest = path[0], path[1:]
    here = f"{where}.{key}" if where else key
    if isinstance(whole, dict):
        named = {str(name): name for name in whole}
        name = named.get(key, key)
        if rest and name not in whole:
            raise OptionError(f"there is no {here}")
        return {**whole, name: _with(whole.get(name), rest, value, here)}
    if not isinstance(whole, list | tuple):
        raise OptionError(f"{where} is a {type(whole).__name__}, which has no parts to be set")
    parts = list(whole)
    at = int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1
    if not 0 <= at <= len(parts) - bool(rest):
        last = f"; the last one is {where}.{len(parts) - 1}" if parts else "; it is empty"
        raise OptionError(f"there is no {here}{last}")
    parts[at : at + 1] = [_with(parts[at] if at < len(parts) else None, rest, value, here)]
    return tuple(parts) if isinstance(whole, tuple) else parts
