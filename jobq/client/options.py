"""The options that users give, as types: for an app, for a job function, for single calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypedDict

from jobq.core.backoff import Backoff, BackoffFunction
from jobq.core.duration import Duration
from jobq.core.lines import Priority
from jobq.core.uniqueness import By, OnConflict

#: What ``on_expire=`` takes.
OnExpire = Literal["dead", "drop"]

#: What ``backoff=`` takes: a rule, one delay, a list of delays, or a function of
#: (attempt, error).
BackoffOption = Backoff | Duration | Sequence[Duration] | BackoffFunction

#: What ``retry_on=`` and ``no_retry_on=`` take.
Exceptions = type[BaseException] | Sequence[type[BaseException]]


class SameOptions(TypedDict, total=False):
    """Which calls are the same, and what becomes of those that another is the same as.

    Attributes:
        unique: what makes calls the same: ``"args"``, equal arguments; ``"name"``, nothing but the
            job function; or a function of the arguments, an equal value; None: they never are.
        unique_for: until when a job keeps the same calls out: ``"until_start"``, ``"until_done"``
            (if not given), or for how long.
        on_conflict: what becomes of them meanwhile: ``"existing"`` (if not given), the job that is
            there stands for them; ``"replace"``, its arguments become theirs while it waits;
            ``"raise"``, they raise `DuplicateJob`.
        debounce: how long there must be no call before the latest one runs.
        debounce_max: how long calls may put it off; ten times as long if not given.
        throttle: how many calls become jobs in which time, such as ``"1/10s"``.
    """

    unique: By | None
    unique_for: Duration
    on_conflict: OnConflict
    debounce: Duration | None
    debounce_max: Duration
    throttle: str | None


class CallOptions(SameOptions, total=False):
    """What ``function.options()`` takes, for the calls made through it, beside `SameOptions`.

    Attributes:
        queue: where the jobs wait.
        retries: attempts after the first one.
        backoff: the delay before each of them; a function cannot travel.
        timeout: how long an attempt may take; None: as long as it likes.
        hard_timeout: how long until its process is killed; None: the timeout, and the grace of the
            worker on top.
        result_ttl: how long the result is kept; 0: no result.
        expires: how long the job may wait for its first start; None: as long as it takes.
        on_expire: what becomes of it then: ``"dead"``, a dead letter, or ``"drop"``, nothing.
        retry_for: how long after its first failure retries may start; None: no limit. Without
            ``retries`` beside it, there are as many as fit.
        priority: ``"high"``, ``"normal"`` or ``"low"``: which jobs of the queue go first.
        wait_replicas: wait until so many replicas have the call.
        fsync: wait until it is on disk (Redis 7.2 and newer).
        headers: texts that travel with the call beside its arguments, by name; the job reads them
            as ``current_job().headers``. At most 64, and 8 KiB.
        delay: how long the jobs wait before they may start; None: they do not.
        at: when they may start instead: an aware datetime; None: now.
        job_id: the id of the one job.
    """

    queue: str
    retries: int
    backoff: Backoff | Duration | Sequence[Duration]
    timeout: Duration | None
    hard_timeout: Duration | None
    result_ttl: Duration
    expires: Duration | None
    on_expire: OnExpire
    retry_for: Duration | None
    priority: Priority
    wait_replicas: int
    fsync: bool
    headers: Mapping[str, str]
    delay: Duration | None
    at: datetime | None
    job_id: str


class AppOptions(TypedDict, total=False):
    """What ``JobQ()`` takes as defaults for its job functions.

    Attributes:
        queue: where their jobs wait; ``default`` if not given.
        retries: attempts after the first one; 3 if not given.
        backoff: the delay before each of them; exponential with full jitter if not given.
        retry_on: the exceptions that are retried; all if not given.
        no_retry_on: those among them that are not.
        timeout: how long an attempt may take; None, if not given: as long as it likes.
        hard_timeout: how long until its process is killed; None, if not given: the timeout, and the
            grace of the worker on top.
        max_crashes: crashes of its process after which a job is buried; 3 if not given.
        result_ttl: how long results are kept; 5 minutes if not given, 0: none are.
        expires: how long a job may wait for its first start; None, if not given: as long as it
            takes.
        on_expire: what becomes of it then: ``"dead"``, if not given, a dead letter; ``"drop"``:
            nothing.
        retry_for: how long after its first failure retries may start; None, if not given: no
            limit. Without ``retries`` beside it, there are as many as fit.
        priority: which jobs of a queue go first: ``"high"``, ``"normal"``, if not given, or
            ``"low"``.
        wait_replicas: wait until so many replicas have each call.
        fsync: wait until each is on disk (Redis 7.2 and newer).
    """

    queue: str
    retries: int
    backoff: BackoffOption
    retry_on: Exceptions
    no_retry_on: Exceptions
    timeout: Duration | None
    hard_timeout: Duration | None
    max_crashes: int
    result_ttl: Duration
    expires: Duration | None
    on_expire: OnExpire
    retry_for: Duration | None
    priority: Priority
    wait_replicas: int
    fsync: bool


class ScheduleOptions(TypedDict, total=False):
    """What makes a schedule: one of ``cron`` and ``every``, and what may go with it.

    Attributes:
        cron: a cron expression: ``"0 9 * * mon-fri"``.
        every: the time between two ticks, a second or more; they count from 1970.
        tz: the time zone of ``cron``, such as ``"Europe/Madrid"``; UTC if not given.
        misfire: what becomes of ticks that were missed while no worker ran: ``"once"``, if not
            given, one job for all of them; ``"skip"``: none; ``"all"``: one for each.
        misfire_max: the most jobs of ``"all"``; 100 if not given.
        overlap: what a tick does while the job of the one before has not ended: ``"allow"``, if not
            given, nothing else; ``"skip"``: no job; ``"queue"``: its job waits for the end.
        jitter: each tick fires up to so much later; which spreads load.
    """

    cron: str
    every: Duration
    tz: str
    misfire: Literal["skip", "once", "all"]
    misfire_max: int
    overlap: Literal["allow", "skip", "queue"]
    jitter: Duration


class JobOptions(AppOptions, SameOptions, ScheduleOptions, total=False):
    """What ``@job`` takes: those of an app, of uniqueness, of a schedule, and a name.

    Attributes:
        name: by which calls name the job function; ``module.qualname`` if not given.
        sensitive: the names of parameters whose values no view and no error text shall show;
            ``"*"``: all.
    """

    name: str
    sensitive: str | Sequence[str]
