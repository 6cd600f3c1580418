"""The lines of jobq's own log as events: a name, and values under keys that stay the same.

A message is written for people, such as ``"failed job=%s attempt=%d retry_in=%.1fs"``. Its form is
strict, so that the same message gives the fields of a JSON object.
"""

import re
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Final, NamedTuple

#: A value: a placeholder with the unit that people read behind it, or fixed text.
_VALUE: Final = r"(?:%(?:\.\d)?[dfrs][A-Za-z]*|'[^'%]*'|[^\s%']+)"
_KEY: Final = r"[a-z][a-z_]*"
#: A word or a few, then keys with their values.
FORM: Final = re.compile(rf"([A-Za-z][A-Za-z' -]*?)((?: {_KEY}={_VALUE})*)")
_FIELD: Final = re.compile(rf" ({_KEY})=({_VALUE})")
_PLACEHOLDER: Final = re.compile(r"%(?:\.(\d))?([dfrs])")


class Field(NamedTuple):
    """A key, and where its value comes from.

    Attributes:
        key: its name.
        fixed: the value; None: it is the next argument.
        digits: those behind the point that the value keeps; None: it is no such number.
    """

    key: str
    fixed: str | None
    digits: int | None


class Event(NamedTuple):
    """A message, taken apart."""

    name: str
    fields: tuple[Field, ...]

    def values(self, args: tuple[object, ...]) -> dict[str, object]:
        """Return the values under their keys, as JSON can have them.

        Args:
            args: those of the log call.
        """
        left = iter(args)
        return {
            one.key: _plain(next(left, None), one.digits) if one.fixed is None else one.fixed
            for one in self.fields
        }


@cache  # messages are written in the code: there are as many as there are log calls
def event_of(message: str) -> Event | None:
    """Take the message of a log call apart, before its arguments are put in; None: no event."""
    found = FORM.fullmatch(message)
    if found is None:
        return None
    return Event(found.group(1), tuple(map(_field, _FIELD.findall(found.group(2)))))


def _field(pair: tuple[str, str]) -> Field:
    key, value = pair
    placeholder = _PLACEHOLDER.match(value)
    if placeholder is None:
        return Field(key, value.strip("'"), None)
    digits, kind = placeholder.groups()
    return Field(key, None, int(digits or 6) if kind == "f" else None)


def _plain(value: object, digits: int | None) -> object:
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float) and isfinite(value):
        return value if digits is None else round(value, digits)
    return str(value)


def own(logger: str) -> bool:
    """Tell whether a logger is one of jobq's, by its name."""
    return logger == "jobq" or logger.startswith("jobq.")


def fields_of(logger: str, message: object, args: object) -> dict[str, object]:
    """Return what a record of jobq's own says: ``event`` and its fields; empty for all others."""
    if not own(logger) or not isinstance(message, str):
        return {}
    event = event_of(message)
    if event is None:
        return {}
    given = args if isinstance(args, tuple) else () if isinstance(args, Mapping) else (args,)
    return {"event": event.name, **event.values(given)}
