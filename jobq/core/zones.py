"""Time zones, by the names of the IANA database, such as ``Europe/Madrid``."""

import re
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from jobq.core.hints import shown
from jobq.errors import OptionError

#: No path: names of the database have up to three parts, and no dots.
_NAME: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}", re.ASCII)
#: What else lies in the folder of the database: these are of one machine, or count leap seconds.
_NO_ZONES: Final = frozenset(("right", "posix", "localtime", "posixrules", "Factory"))
_FIX: Final = "use a name of the IANA database, such as 'Europe/Madrid' or 'UTC'"


def check_tz(value: object) -> str:
    """Check the name of a time zone.

    Raises:
        OptionError: there is no such time zone on this machine.
    """
    if not isinstance(value, str):
        key: object = getattr(value, "key", None)  # a ZoneInfo
        fix = f"use its name, tz={key!r}" if isinstance(key, str) else "use its name as a str"
        raise OptionError(f"tz is {shown(value)}; {fix}")
    zone(value)
    return str(value)


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """Return a time zone.

    Args:
        name: of the IANA database.

    Raises:
        OptionError: there is no such time zone on this machine.
    """
    if name == "UTC":
        return UTC
    if not _NAME.fullmatch(name) or name.partition("/")[0] in _NO_ZONES:
        raise OptionError(f"tz is {shown(name)}; {_FIX}")
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        raise OptionError(f"tz is {shown(name)}, which is unknown{_near(name)}") from None


def _near(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only for a message

    known = {zone.lower(): zone for zone in sorted(available_timezones() - _NO_ZONES)}
    if not known:
        return " as all are: this machine has no time zones. Install the package tzdata."
    cities = {key.rpartition("/")[2]: name for key, name in known.items()}
    low = name.lower()
    near = get_close_matches(low, [*known, *cities], n=1, cutoff=0.7)
    guess = [(known | cities)[match] for match in near]
    return f"; did you mean {guess[0]!r}?" if guess else f"; {_FIX}"
