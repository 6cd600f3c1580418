"""Headers of users: texts that travel with a call, beside its arguments.

A trace, a tenant, a locale: what middleware put there when a call is sent, and read when it runs.
"""

from collections.abc import Mapping
from typing import Final

from jobq.errors import OptionError

#: The header of a call that holds them, see `jobq.core.options`.
HEADER: Final = "m"
#: Every retry and every dead letter carries them: this is no place for data.
MOST: Final = 64
#: Of all names and values, in UTF-8.
MOST_BYTES: Final = 8 * 1024
MOST_NAME_CHARS: Final = 100


def check_headers(value: object) -> dict[str, str]:
    """Check what shall travel with a call, and return a copy.

    Args:
        value: a mapping of names, printable ASCII without spaces, to texts; at most 64, and 8 KiB.

    Raises:
        OptionError: it is anything else.
    """
    if not isinstance(value, Mapping):
        raise OptionError(f"headers is a {type(value).__name__}; use a dict of str to str")
    if len(value) > MOST:
        raise OptionError(f"headers has {len(value)} entries; use at most {MOST}")
    checked: dict[str, str] = {}
    size = 0
    for name, text in value.items():
        size += _size_of(name, text)
        checked[str(name)] = str(text)
    if size > MOST_BYTES:
        raise OptionError(
            f"headers has {size} bytes; use at most {MOST_BYTES}, and arguments for data"
        )
    return checked


def _size_of(name: object, text: object) -> int:
    if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME_CHARS:
        raise OptionError(
            f"headers has the name {str(name)[:80]!r}; use a str of 1 to {MOST_NAME_CHARS} "
            "characters"
        )
    if not all("!" <= char <= "~" for char in name):
        raise OptionError(
            f"headers has the name {name!r}; use printable ASCII without spaces, such as 'tenant'"
        )
    if not isinstance(text, str):
        raise OptionError(f"headers[{name!r}] is a {type(text).__name__}; use a str")
    try:
        return len(name) + len(text.encode())
    except UnicodeEncodeError:
        raise OptionError(f"headers[{name!r}] has lone surrogates; use text") from None


def carried(headers: Mapping[str, object]) -> dict[str, str]:
    """Return what travels in the headers of a call, whatever a stranger wrote there."""
    found = headers.get(HEADER)
    if not isinstance(found, dict):
        return {}
    pairs = found.items()
    texts = {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}
    try:
        return check_headers(texts)
    except OptionError:
        return {}
