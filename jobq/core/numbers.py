"""Whole numbers that are read out of Redis, where a stranger may have written anything."""

from typing import Final

#: Digits of what is a number: of 64 bits. Python refuses to read some thousands of them.
_DIGITS: Final = 18

#: Digits of milliseconds since 1970 that are a time: up to the year 5138.
_TIME_DIGITS: Final = 14


def whole(raw: bytes | str) -> int | None:
    """Return a whole number, not negative, as it stands in text; None: it is none."""
    return int(raw) if raw.isdigit() and raw.isascii() and len(raw) <= _DIGITS else None


def ms_of(raw: bytes | str) -> int | None:
    """Return a time in milliseconds since 1970, as it stands in text; None: it is none."""
    return int(raw) if raw.isdigit() and raw.isascii() and len(raw) <= _TIME_DIGITS else None
