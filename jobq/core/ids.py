"""Job ids: time-ordered, made by the producer, 26 characters.

The layout is that of a ULID (https://github.com/ulid/spec), in lower case: 10 characters for
48 bits of milliseconds since 1970, 16 characters for 80 random bits, in Crockford's base32.
"""

from functools import lru_cache
from os import register_at_fork, urandom

from jobq.core.clock import SystemClock
from jobq.errors import OptionError

#: Crockford's base32: no i, l, o or u, so that an id can be read out and typed.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

#: The longest id that a caller may choose, in characters.
MAX_ID_CHARS = 128

_CLOCK = SystemClock()
#: Each byte to one character. 256 is 8 times 32, so uniform bytes give uniform characters.
_BYTE_TO_CHAR = bytes(ALPHABET[byte & 31].encode()[0] for byte in range(256))
#: Random parts of ids to come. A child that had its parent's would make the same ids.
_random_parts: list[str] = []
register_at_fork(after_in_child=_random_parts.clear)
_REFUSED_IN_IDS = frozenset("{}")


def new_job_id(clock_ms: int, random80: bytes) -> str:
    """Make the id that belongs to a moment and 80 random bits.

    Args:
        clock_ms: milliseconds since 1970, 0 to 2**48 - 1.
        random80: 10 bytes.

    Returns:
        26 characters that sort by time.

    Raises:
        ValueError: the time does not fit into 48 bits, or there are not 10 bytes.
    """
    if len(random80) != 10:
        raise ValueError(f"random80 has {len(random80)} bytes, not 10")
    return _time_part(clock_ms) + _base32(int.from_bytes(random80, "big"), 16)


def make_job_id() -> str:
    """Make an id for now: what a call gets when its caller chooses none."""
    try:
        random = _random_parts.pop()
    except IndexError:
        random = _refill()
    return _time_part(int(_CLOCK.time() * 1000)) + random


def is_made_id(text: str) -> bool:
    """Tell whether an id is like those of `make_job_id`: then it is of one job only."""
    return len(text) == 26 and all(char in ALPHABET for char in text)


def check_job_id(text: object) -> str:
    """Check an id that a caller chose.

    Args:
        text: 1 to 128 printable ASCII characters without spaces and braces.

    Returns:
        The same text.

    Raises:
        OptionError: it is anything else.
    """
    if not isinstance(text, str):
        raise OptionError(f"job_id must be a str, not {type(text).__name__}")
    if not 1 <= len(text) <= MAX_ID_CHARS:
        raise OptionError(f"job_id must have 1 to {MAX_ID_CHARS} characters, not {len(text)}")
    for char in text:
        if not "!" <= char <= "~" or char in _REFUSED_IN_IDS:
            raise OptionError(
                f"job_id contains {char!r}; use printable ASCII without spaces and braces"
            )
    return str(text)


def _refill() -> str:
    """Make the random parts of 64 ids, with one call of the system; return one of them."""
    # 16 bytes for 16 characters, 5 bits of each: a table look-up instead of shifts.
    text = urandom(16 * 64).translate(_BYTE_TO_CHAR).decode()
    _random_parts.extend(text[at : at + 16] for at in range(16, len(text), 16))
    return text[:16]


@lru_cache(maxsize=1)  # the same for all calls of one millisecond
def _time_part(clock_ms: int) -> str:
    if not 0 <= clock_ms < 1 << 48:
        raise ValueError(f"{clock_ms} ms does not fit into 48 bits")
    return _base32(clock_ms, 10)


def _base32(number: int, chars: int) -> str:
    shifts = range(5 * (chars - 1), -1, -5)
    return "".join(ALPHABET[number >> shift & 31] for shift in shifts)
