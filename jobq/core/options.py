"""Options of job functions and of single calls: checked where they are given, resolved once.

What travels with a call is in its headers, under short keys:

====  ============  ==================================================
key   option        value
====  ============  ==================================================
r     retries       int
b     backoff       see `jobq.core.backoff.to_wire`
t     timeout       seconds, or nil for none
k     result_ttl    seconds (how long the result is kept)
====  ============  ==================================================

The queue and the id of a job are not headers: they say where the call is kept. Exception
classes and functions cannot travel, so they are given to ``@job`` only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Final

from jobq.core.backoff import Backoff, Exponential, from_wire, parse_backoff, to_wire
from jobq.core.duration import seconds
from jobq.core.ids import check_job_id
from jobq.errors import CallUnreadable, OptionError

DEFAULT_QUEUE: Final = "default"
DEFAULT_RETRIES: Final = 3
DEFAULT_BACKOFF: Final = Exponential()
#: Seconds. Long enough to fetch a result, short enough not to fill Redis.
DEFAULT_RESULT_TTL: Final = 300.0

#: With the default backoff, 1000 retries are a week; more is a loop, not a retry.
MAX_RETRIES: Final = 1000
MAX_QUEUE_CHARS: Final = 100
MAX_NAME_CHARS: Final = 200

#: What ``@job`` takes: everything but the id of one call.
DECLARATION_OPTIONS: Final = frozenset(
    ("name", "queue", "retries", "backoff", "retry_on", "no_retry_on", "timeout", "result_ttl")
)
#: What one call takes: only what can travel with it.
CALL_OPTIONS: Final = frozenset(("queue", "retries", "backoff", "timeout", "result_ttl", "job_id"))
#: What an app takes as defaults for all its job functions.
APP_OPTIONS: Final = DECLARATION_OPTIONS - {"name"}


class Unset(Enum):
    """The type of `UNSET`, which says that an option was not given."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

#: Classes of exceptions, ready for isinstance().
ExceptionTypes = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Options:
    """Options as they were given; `UNSET` where they were not.

    Attributes:
        name: the name of the job function.
        queue: where its jobs wait.
        retries: attempts after the first one.
        backoff: the delay before each of them.
        retry_on: the exceptions that are retried.
        no_retry_on: those among them that are not.
        timeout: seconds that an attempt may take; None: as long as it likes.
        result_ttl: seconds that the result is kept; 0: no result.
        job_id: the id of the job; for a single call only.
    """

    name: str | Unset = UNSET
    queue: str | Unset = UNSET
    retries: int | Unset = UNSET
    backoff: Backoff | Unset = UNSET
    retry_on: ExceptionTypes | Unset = UNSET
    no_retry_on: ExceptionTypes | Unset = UNSET
    timeout: float | Unset | None = UNSET
    result_ttl: float | Unset = UNSET
    job_id: str | Unset = UNSET

    def over(self, lower: "Options") -> "Options":
        """Return these options, with the gaps filled from others."""
        return replace(lower, **_given(self))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of an attempt that fails, hangs or succeeds: options with no gaps.

    Attributes:
        retries: attempts after the first one; 3 means at most 4 attempts.
        backoff: the delay before each of them.
        retry_on: the exceptions that are retried; `Exception` stands for every failure.
        no_retry_on: those among them that are not.
        timeout: seconds that an attempt may take; None: as long as it likes.
        result_ttl: seconds that the result is kept; 0: no result.
    """

    retries: int = DEFAULT_RETRIES
    backoff: Backoff = DEFAULT_BACKOFF
    retry_on: ExceptionTypes = (Exception,)
    no_retry_on: ExceptionTypes = ()
    timeout: float | None = None
    result_ttl: float = DEFAULT_RESULT_TTL


def parse_options(
    given: Mapping[str, object],
    *,
    where: str,
    accepts: frozenset[str] = DECLARATION_OPTIONS | CALL_OPTIONS,
) -> Options:
    """Check options where they are given.

    Args:
        given: option names and values.
        where: who takes them, such as ``@job`` or ``send_email.options()``; opens each error.
        accepts: the options that have a meaning there: `DECLARATION_OPTIONS`,
            `CALL_OPTIONS` or `APP_OPTIONS`.

    Raises:
        OptionError: an option is unknown or out of place, or cannot take its value.
    """
    checked: dict[str, object] = {}
    for option, value in given.items():
        if option not in accepts:
            raise OptionError(f"{where}: {_not_accepted(option, accepts)}")
        try:
            checked[option] = _CHECKS[option](value)
        except OptionError as error:
            raise OptionError(f"{where}: {error}") from None
    return Options(**checked)  # type: ignore[arg-type]


def resolve(options: Options) -> Policy:
    """Return the policy that options come to, once the defaults have filled the gaps."""
    named = {field.name for field in fields(Policy)}
    given = {option: value for option, value in _given(options).items() if option in named}
    return Policy(**given)  # type: ignore[arg-type]


def to_headers(options: Options) -> dict[str, object]:
    """Return what travels with a call; empty when it has no options of its own.

    Raises:
        OptionError: an option cannot travel: exception classes, or a function as backoff.
    """
    headers: dict[str, object] = {}
    for option in ("retry_on", "no_retry_on"):
        if getattr(options, option) is not UNSET:
            raise OptionError(f"{option} cannot travel with one call; give it to @job")
    if options.retries is not UNSET:
        headers["r"] = options.retries
    if options.backoff is not UNSET:
        headers["b"] = to_wire(options.backoff)
    if options.timeout is not UNSET:
        headers["t"] = options.timeout
    if options.result_ttl is not UNSET:
        headers["k"] = options.result_ttl
    return headers


def policy_with(policy: Policy, headers: Mapping[str, object]) -> Policy:
    """Return a policy with what one call changes in it.

    Args:
        policy: that of the job function.
        headers: from the call; keys that are not in the table above are left alone.

    Raises:
        CallUnreadable: a header has a value that no producer of ours writes.
    """
    changes: dict[str, object] = {}
    for key, (option, read) in _HEADERS.items():
        if key in headers:
            try:
                changes[option] = read(headers[key])
            except OptionError as error:
                raise CallUnreadable(f"header {key!r}: {error}") from None
    return replace(policy, **changes) if changes else policy  # type: ignore[arg-type]


def _given(options: Options) -> dict[str, object]:
    pairs = ((field.name, getattr(options, field.name)) for field in fields(Options))
    return {option: value for option, value in pairs if value is not UNSET}


def _not_accepted(option: object, accepts: frozenset[str]) -> str:
    known = ", ".join(sorted(accepts))
    if option == "job_id":
        return "option 'job_id' belongs to a single call: function.options(job_id=...).delay(...)"
    if option in _CHECKS:
        return f"option {option!r} cannot be set here; give it to @job. Options here: {known}."
    from difflib import get_close_matches  # noqa: PLC0415  only for a message

    near = get_close_matches(str(option), sorted(accepts), n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown option {str(option)[:80]!r}{guess} Options: {known}."


def _check_name(value: object) -> str:
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


def _check_retries(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        shown = value if isinstance(value, int) and abs(value) < 10**12 else str(type(value))
        raise OptionError(f"retries is {shown}; use an int from 0 to {MAX_RETRIES}")
    return int(value)


def _check_exceptions(value: object, *, what: str) -> ExceptionTypes:
    classes = tuple(value) if isinstance(value, tuple | list | set | frozenset) else (value,)
    for item in classes:
        if not isinstance(item, type) or not issubclass(item, BaseException):
            raise OptionError(
                f"{what} contains {str(item)[:80]!r}; use an exception class or a tuple of them"
            )
    return classes


def _check_retry_on(value: object) -> ExceptionTypes:
    return _check_exceptions(value, what="retry_on")


def _check_no_retry_on(value: object) -> ExceptionTypes:
    return _check_exceptions(value, what="no_retry_on")


def _check_timeout(value: object) -> float | None:
    if value is None:
        return None
    timeout = seconds(value, what="timeout")
    if timeout == 0:
        raise OptionError("timeout is 0; use a duration above 0, or None for no timeout")
    return timeout


def _check_result_ttl(value: object) -> float:
    if value is None:
        raise OptionError("result_ttl is None; use a duration, or 0 to keep no result")
    return seconds(value, what="result_ttl")


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "name": _check_name,
    "queue": check_queue,
    "retries": _check_retries,
    "backoff": parse_backoff,
    "retry_on": _check_retry_on,
    "no_retry_on": _check_no_retry_on,
    "timeout": _check_timeout,
    "result_ttl": _check_result_ttl,
    "job_id": check_job_id,
}
_HEADERS: Final[Mapping[str, tuple[str, Callable[[object], object]]]] = {
    "r": ("retries", _check_retries),
    "b": ("backoff", from_wire),
    "t": ("timeout", _check_timeout),
    "k": ("result_ttl", _check_result_ttl),
}
