"""Options of job functions and of single calls: checked where they are given, resolved once.

What travels with a call is in its headers, under short keys:

====  ============  ==================================================
key   option        value
====  ============  ==================================================
r     retries       int
b     backoff       see `jobq.core.backoff.to_wire`
t     timeout       seconds, or nil for none
h     hard_timeout  seconds, or nil for the default
k     result_ttl    seconds (how long the result is kept)
e     expires       seconds, or nil for never
o     on_expire     1: drop, 0: dead
f     retry_for     seconds, or nil for no limit
s     sensitive     see `jobq.core.marks`
m     headers       see `jobq.core.carried`
====  ============  ==================================================

The queue, the id of a job and what `jobq.core.placing` knows are not headers: they say where the
call is kept, and until when. Exception classes and functions cannot travel, so they are given to
``@job`` only; so is ``max_crashes``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Final

from jobq.core import carried
from jobq.core.backoff import Backoff, Exponential, from_wire, parse_backoff, to_wire
from jobq.core.checks import (
    MAX_RETRIES,
    Durability,
    ExceptionTypes,
    check_drop,
    check_expires,
    check_fsync,
    check_hard_timeout,
    check_max_crashes,
    check_name,
    check_no_retry_on,
    check_on_expire,
    check_queue,
    check_result_ttl,
    check_retries,
    check_retry_for,
    check_retry_on,
    check_sensitive,
    check_timeout,
    check_wait_replicas,
)
from jobq.core.placing import CHECKS as PLACING_CHECKS
from jobq.core.placing import ONCE, SAME
from jobq.errors import CallUnreadable, OptionError

DEFAULT_QUEUE: Final = "default"
DEFAULT_RETRIES: Final = 3
DEFAULT_BACKOFF: Final = Exponential()
#: Seconds. Long enough to fetch a result, short enough not to fill Redis.
DEFAULT_RESULT_TTL: Final = 300.0

#: Crashes after which a job is buried, as Sidekiq Pro does: poison must stop.
DEFAULT_MAX_CRASHES: Final = 3

#: What ``@job`` takes: everything but the id of one call.
DECLARATION_OPTIONS: Final = frozenset((
    "name", "queue", "retries", "backoff", "retry_on", "no_retry_on", "timeout", "hard_timeout",
    "max_crashes", "result_ttl", "sensitive", "wait_replicas", "fsync", "expires", "on_expire",
    "retry_for", "priority", *SAME,
))  # fmt: skip
#: What one call takes: only what can travel with it, or is over when it has been sent.
CALL_OPTIONS: Final = frozenset((
    "queue", "retries", "backoff", "timeout", "hard_timeout", "result_ttl", "wait_replicas",
    "fsync", "expires", "on_expire", "retry_for", "priority", "headers", *SAME, *ONCE,
))  # fmt: skip
#: What ``@job`` and ``app.schedules.add()`` take, and make a schedule of.
SCHEDULE_OPTIONS: Final = frozenset((
    "cron", "every", "tz", "misfire", "misfire_max", "overlap", "jitter",
))  # fmt: skip
#: What an app takes as defaults for all its job functions.
APP_OPTIONS: Final = DECLARATION_OPTIONS - {"name", "sensitive"} - SAME


class Unset(Enum):
    """The type of `UNSET`, which says that an option was not given."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The options that a `Policy` is made of, as they were given; `UNSET` where they were not.

    Attributes:
        retries: attempts after the first one.
        backoff: the delay before each of them.
        retry_on: the exceptions that are retried.
        no_retry_on: those among them that are not.
        timeout: seconds that an attempt may take; None: as long as it likes.
        hard_timeout: seconds after which its process is killed.
        max_crashes: crashes after which it is buried.
        result_ttl: seconds that the result is kept; 0: no result.
        expires: seconds that the job may wait for its first start; None: as long as it takes.
        drop_expired: one that has expired leaves no dead letter.
        retry_for: seconds after its first failure in which retries may start; None: no limit.
    """

    retries: int | Unset = UNSET
    backoff: Backoff | Unset = UNSET
    retry_on: ExceptionTypes | Unset = UNSET
    no_retry_on: ExceptionTypes | Unset = UNSET
    timeout: float | Unset | None = UNSET
    hard_timeout: float | Unset | None = UNSET
    max_crashes: int | Unset = UNSET
    result_ttl: float | Unset = UNSET
    expires: float | Unset | None = UNSET
    drop_expired: bool | Unset = UNSET
    retry_for: float | Unset | None = UNSET


@dataclass(frozen=True, slots=True)
class Options(PolicyOptions):
    """All options as they were given: those of the policy, and those that matter to who sends.

    Attributes:
        name: the name of the job function.
        queue: where its jobs wait.
        placing: those of `jobq.core.placing`, by name.
        sensitive: the names of parameters that no view and no error text shall show.
        wait_replicas: how many replicas must have a call before it counts as enqueued.
        fsync: it must be on disk too.
        headers: those of users, see `jobq.core.carried`.
    """

    name: str | Unset = UNSET
    queue: str | Unset = UNSET
    placing: Mapping[str, object] = field(default_factory=dict)
    sensitive: tuple[str, ...] | Unset = UNSET
    wait_replicas: int | Unset = UNSET
    fsync: bool | Unset = UNSET
    headers: Mapping[str, str] | Unset = UNSET

    def over(self, lower: "Options") -> "Options":
        """Return these options, with the gaps filled from others."""
        placing = {**lower.placing, **self.placing}
        return replace(lower, **{**_given(self), "placing": placing})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of an attempt that fails, hangs or succeeds: options with no gaps.

    Attributes:
        retries: attempts after the first one; 3 means at most 4 attempts.
        backoff: the delay before each of them.
        retry_on: the exceptions that are retried; `Exception` stands for every failure.
        no_retry_on: those among them that are not.
        timeout: seconds that an attempt may take; None: as long as it likes.
        hard_timeout: seconds after which the process of an attempt is killed; None: those of the
            timeout and of the worker's grace; where there is no timeout either, never.
        max_crashes: crashes of its process after which the job is buried.
        result_ttl: seconds that the result is kept; 0: no result.
        expires: seconds that the job may wait for its first start; None: as long as it takes.
        drop_expired: one that has expired leaves no dead letter.
        retry_for: seconds after its first failure in which retries may start; None: no limit.
    """

    retries: int = DEFAULT_RETRIES
    backoff: Backoff = DEFAULT_BACKOFF
    retry_on: ExceptionTypes = (Exception,)
    no_retry_on: ExceptionTypes = ()
    timeout: float | None = None
    hard_timeout: float | None = None
    max_crashes: int = DEFAULT_MAX_CRASHES
    result_ttl: float = DEFAULT_RESULT_TTL
    expires: float | None = None
    drop_expired: bool = False
    retry_for: float | None = None

    def kill_after(self, grace: float) -> float | None:
        """Return the seconds after which the process of an attempt is killed; None: never.

        Args:
            grace: seconds between the timeout and the kill where nothing else is said.
        """
        if self.hard_timeout is not None:
            return self.hard_timeout
        return None if self.timeout is None else self.timeout + grace


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
    checked["placing"] = {one: checked.pop(one) for one in PLACING_CHECKS if one in checked}
    if "on_expire" in checked:
        checked["drop_expired"] = checked.pop("on_expire")
    if checked.get("retry_for") is not None:  # it stands for the count, where none is given with it
        checked.setdefault("retries", MAX_RETRIES)
    return Options(**checked)  # type: ignore[arg-type]


def resolve(options: Options) -> Policy:
    """Return the policy that options come to, once the defaults have filled the gaps."""
    named = {one.name for one in fields(PolicyOptions)}
    given = {option: value for option, value in _given(options).items() if option in named}
    return Policy(**given)  # type: ignore[arg-type]


def durability(options: Options, lower: Durability | None = None) -> Durability | None:
    """Return where calls must be before they count as enqueued; None: in the master's memory.

    Args:
        lower: what fills the gaps.
    """
    base = lower or Durability()
    wanted = Durability(
        base.replicas if options.wait_replicas is UNSET else options.wait_replicas,
        base.fsync if options.fsync is UNSET else options.fsync,
    )
    return wanted if wanted != Durability() else None


def to_headers(options: Options) -> dict[str, object]:
    """Return what travels with a call; empty when it has no options of its own.

    Raises:
        OptionError: an option cannot travel: exception classes, or a function as backoff.
    """
    headers: dict[str, object] = {}
    for option in ("retry_on", "no_retry_on"):
        if getattr(options, option) is not UNSET:
            raise OptionError(f"{option} cannot travel with one call; give it to @job")
    for key, (option, _) in _HEADERS.items():
        value: object = getattr(options, option)
        if isinstance(value, Backoff):
            headers[key] = to_wire(value)
        elif isinstance(value, bool):
            headers[key] = int(value)
        elif value is not UNSET:
            headers[key] = value
    if options.headers is not UNSET:
        headers[carried.HEADER] = dict(options.headers)
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
    pairs = ((one.name, getattr(options, one.name)) for one in fields(Options))
    return {option: value for option, value in pairs if value is not UNSET}


def _not_accepted(option: object, accepts: frozenset[str]) -> str:
    known = ", ".join(sorted(accepts))
    if option in ONCE:
        fix = f"function.options({option}=...).delay(...)"
        return f"option {option!r} belongs to a single call: {fix}"
    if option in _CHECKS or option in SCHEDULE_OPTIONS:
        return f"option {option!r} cannot be set here; give it to @job. Options here: {known}."
    from difflib import get_close_matches  # noqa: PLC0415  only for a message

    near = get_close_matches(str(option), sorted(accepts), n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown option {str(option)[:80]!r}{guess} Options: {known}."


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "name": check_name,
    "queue": check_queue,
    "retries": check_retries,
    "backoff": parse_backoff,
    "retry_on": check_retry_on,
    "no_retry_on": check_no_retry_on,
    "timeout": check_timeout,
    "hard_timeout": check_hard_timeout,
    "max_crashes": check_max_crashes,
    "result_ttl": check_result_ttl,
    "expires": check_expires,
    "on_expire": check_on_expire,
    "retry_for": check_retry_for,
    **PLACING_CHECKS,
    "sensitive": check_sensitive,
    "wait_replicas": check_wait_replicas,
    "fsync": check_fsync,
    "headers": carried.check_headers,
}
_HEADERS: Final[Mapping[str, tuple[str, Callable[[object], object]]]] = {
    "r": ("retries", check_retries),
    "b": ("backoff", from_wire),
    "t": ("timeout", check_timeout),
    "h": ("hard_timeout", check_hard_timeout),
    "k": ("result_ttl", check_result_ttl),
    "e": ("expires", check_expires),
    "o": ("drop_expired", check_drop),
    "f": ("retry_for", check_retry_for),
}
