"""Durations, as people write them: 90, 1.5, timedelta(minutes=5), "5m", "1h30m", "250ms"."""

import math
import re
from datetime import timedelta

from jobq.core.hints import shown
from jobq.errors import OptionError

#: Seconds, a timedelta, or text such as "5m".
Duration = float | int | timedelta | str

#: The longest duration, in seconds: 100 years of 365.25 days. Enough for anybody, and in
#: milliseconds still an exact float, which the scores of Redis' sorted sets are.
MAX_SECONDS = 3_155_760_000.0

#: What an error message shows of how a duration is written.
FORMS = 'seconds (90 or 1.5), a timedelta, or text such as "250ms", "1.5s", "5m", "1h30m", "1d"'

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
#: Each unit at most once, the largest first.
_TEXT = re.compile(r"\s*".join(f"(?:{_NUMBER}\\s*{unit})?" for unit, _ in _UNITS))
_BARE = re.compile(_NUMBER)
#: Longer text is not a duration, and must not keep the regular expression busy.
_MAX_TEXT_CHARS = 64


def seconds(value: object, *, what: str, minimum: float = 0.0) -> float:
    """Turn a duration into seconds.

    Args:
        value: a `Duration`; anything else is refused.
        what: what the duration is for, such as ``timeout``; opens the error message.
        minimum: the least that is allowed, in seconds.

    Returns:
        Finite seconds, from ``minimum`` to `MAX_SECONDS`.

    Raises:
        OptionError: it is not a duration, or is out of range.
    """
    number = _number(value)
    if number is None or math.isnan(number):
        raise OptionError(f"{what} is {shown(value)}, which is not a duration. Use {FORMS}.")
    if not minimum <= number <= MAX_SECONDS:
        least = "not be negative" if minimum == 0 else f"be at least {show(minimum)}"
        raise OptionError(
            f"{what} is {shown(value)}; it must {least}, and at most 100 years. Use {FORMS}."
        )
    return number


def show(number: float) -> str:
    """Write seconds for people: ``5 m``, ``1 h 30 m``, ``1.5 s``, ``250 ms``.

    Args:
        number: seconds. Only the two largest units are shown from a minute on.
    """
    if number < 0:
        return "-" + show(-number)
    if not math.isfinite(number):
        return str(number)
    if number < 0.9995:
        return f"{number * 1000:.3g} ms" if number else "0 s"
    if number < 59.95:
        return f"{number:.3g} s"
    left = round(number)
    parts = []
    for unit, size in _UNITS[:4]:
        count, left = divmod(left, int(size))
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _from_text(value) if isinstance(value, str) else None


def _from_text(text: str) -> float | None:
    text = text.strip()
    if not text or len(text) > _MAX_TEXT_CHARS:
        return None
    if _BARE.fullmatch(text):
        return float(text)
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    counts = zip(match.groups(), _UNITS, strict=True)
    return sum(float(count) * size for count, (_, size) in counts if count is not None)
