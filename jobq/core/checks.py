"""What each option can be: one check for each, used where options are given and where they arrive.

Each takes whatever a user wrote and returns it in its final form, or raises OptionError.
"""

from dataclasses import dataclass
from typing import Final

from jobq.core.duration import seconds
from jobq.errors import OptionError

#: With the default backoff, 1000 retries are a week; more is a loop, not a retry.
MAX_RETRIES: Final = 1000
MAX_QUEUE_CHARS: Final = 100
MAX_NAME_CHARS: Final = 200
#: Each crash costs a worker process; more is a loop.
MOST_CRASHES: Final = 100
#: More than anybody runs.
MOST_REPLICAS: Final = 100

#: Classes of exceptions, ready for isinstance().
ExceptionTypes = tuple[type[BaseException], ...]


def check_name(value: object) -> str:
    """Check the name of a job function: printable, not empty, at most 200 characters."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise OptionError(f"name is {str(value)[:80]!r}; use a printable, non-empty str")
    if len(value) > MAX_NAME_CHARS:
        raise OptionError(f"name has {len(value)} characters; use at most {MAX_NAME_CHARS}")
    return str(value)


def check_queue(value: object) -> str:
    """Check the name of a queue; it becomes part of keys, so braces would move the hash tag.

    Args:
        value: 1 to 100 printable ASCII characters without spaces and braces.

    Returns:
        The same name.

    Raises:
        OptionError: it is anything else.
    """
    if not isinstance(value, str):
        raise OptionError(f"queue must be a str, not {type(value).__name__}")
    if not 1 <= len(value) <= MAX_QUEUE_CHARS:
        raise OptionError(f"queue must have 1 to {MAX_QUEUE_CHARS} characters, not {len(value)}")
    if not all("!" <= char <= "~" and char not in "{}" for char in value):
        raise OptionError(
            f"queue is {value!r}; use printable ASCII without spaces and braces, such as 'mail'"
        )
    return str(value)


def check_most(value: object) -> int | None:
    """Check how many jobs a queue may have.

    Raises:
        OptionError: it is neither None nor an int of 1 or more.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(
            f"max_queue_size is {str(value)[:80]!r}; use an int of 1 or more, or None"
        )
    return int(value)


def check_retries(value: object) -> int:
    """Check how many attempts may follow the first one."""
    return _count(value, what="retries", least=0, most=MAX_RETRIES)


def _count(value: object, *, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        shown = value if isinstance(value, int) and abs(value) < 10**12 else str(type(value))
        raise OptionError(f"{what} is {shown}; use an int from {least} to {most}")
    return int(value)


def _exceptions(value: object, *, what: str) -> ExceptionTypes:
    classes = tuple(value) if isinstance(value, tuple | list | set | frozenset) else (value,)
    for item in classes:
        if not isinstance(item, type) or not issubclass(item, BaseException):
            raise OptionError(
                f"{what} contains {str(item)[:80]!r}; use an exception class or a tuple of them"
            )
    return classes


def check_retry_on(value: object) -> ExceptionTypes:
    """Check which exceptions are retried: a class, or several."""
    return _exceptions(value, what="retry_on")


def check_no_retry_on(value: object) -> ExceptionTypes:
    """Check which exceptions are not retried: a class, or several."""
    return _exceptions(value, what="no_retry_on")


def check_timeout(value: object) -> float | None:
    """Check how long an attempt may take, and return it in seconds; None: as long as it likes."""
    return _limit(value, what="timeout", none="no timeout")


def check_hard_timeout(value: object) -> float | None:
    """Check when the process of an attempt is killed, and return it in seconds."""
    return _limit(value, what="hard_timeout", none="the timeout and the grace of the worker")


def _limit(value: object, *, what: str, none: str) -> float | None:
    if value is None:
        return None
    limit = seconds(value, what=what)
    if limit == 0:
        raise OptionError(f"{what} is 0; use a duration above 0, or None for {none}")
    return limit


def check_expires(value: object) -> float | None:
    """Check how long a job may wait for its first start, and return it in seconds."""
    return _limit(value, what="expires", none="as long as it takes")


def check_on_expire(value: object) -> bool:
    """Check what becomes of a job that has expired, and return whether it is dropped."""
    if not isinstance(value, str) or value not in {"dead", "drop"}:
        raise OptionError(f'on_expire is {str(value)[:80]!r}; use "dead" or "drop"')
    return value == "drop"


def check_retry_for(value: object) -> float | None:
    """Check for how long after its first failure a job is retried, and return it in seconds."""
    return _limit(value, what="retry_for", none="as long as there are retries")


def check_drop(value: object) -> bool:
    """Check what travels of ``on_expire``: 1 where the job is dropped, else 0."""
    if type(value) is not int or value not in {0, 1}:
        raise OptionError(f"on_expire is {str(value)[:80]!r}; it travels as 0 or 1")
    return value == 1


def check_max_crashes(value: object) -> int:
    """Check after how many crashes a job is buried."""
    return _count(value, what="max_crashes", least=1, most=MOST_CRASHES)


def check_result_ttl(value: object) -> float:
    """Check how long a result is kept, and return it in seconds; 0: not at all."""
    if value is None:
        raise OptionError("result_ttl is None; use a duration, or 0 to keep no result")
    return seconds(value, what="result_ttl")


def check_sensitive(value: object) -> tuple[str, ...]:
    """Check the names of parameters whose values nothing shall show."""
    names: tuple[object, ...] = (value,)
    if isinstance(value, tuple | list | set | frozenset):
        names = tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise OptionError(
                f"sensitive contains a {type(name).__name__}; use names of parameters, such as "
                '("password", "token"), or "*" for all'
            )
    return tuple(map(str, names))


@dataclass(frozen=True, slots=True)
class Durability:
    """Where a call must be before ``.delay()`` returns, beyond the memory of the master.

    Attributes:
        replicas: on how many replicas.
        fsync: on the disk of the master too.
    """

    replicas: int = 0
    fsync: bool = False


def check_wait_replicas(value: object) -> int:
    """Check how many replicas must have a call before ``.delay()`` returns."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_REPLICAS:
        raise OptionError(
            f"wait_replicas is {str(value)[:80]!r}; use an int from 0 to {MOST_REPLICAS}"
        )
    return int(value)


def check_fsync(value: object) -> bool:
    """Check whether a call must be on disk before ``.delay()`` returns."""
    if not isinstance(value, bool):
        raise OptionError(f"fsync is {str(value)[:80]!r}; use True or False")
    return value
