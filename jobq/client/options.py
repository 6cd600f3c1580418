"""The options that users give, as types: for an app, for a job function, for single calls."""

from collections.abc import Sequence
from typing import TypedDict

from jobq.core.backoff import Backoff, BackoffFunction
from jobq.core.duration import Duration

#: What ``backoff=`` takes: a rule, one delay, a list of delays, or a function of
#: (attempt, error).
BackoffOption = Backoff | Duration | Sequence[Duration] | BackoffFunction

#: What ``retry_on=`` and ``no_retry_on=`` take.
Exceptions = type[BaseException] | Sequence[type[BaseException]]


class CallOptions(TypedDict, total=False):
    """What ``function.options()`` takes, for the calls made through it.

    Attributes:
        queue: where the jobs wait.
        retries: attempts after the first one.
        backoff: the delay before each of them; a function cannot travel.
        timeout: how long an attempt may take; None: as long as it likes.
        hard_timeout: how long until its process is killed; None: the timeout, and the grace of the
            worker on top.
        result_ttl: how long the result is kept; 0: no result.
        wait_replicas: wait until so many replicas have the call.
        fsync: wait until it is on disk (Redis 7.2 and newer).
        job_id: the id of the one job.
    """

    queue: str
    retries: int
    backoff: Backoff | Duration | Sequence[Duration]
    timeout: Duration | None
    hard_timeout: Duration | None
    result_ttl: Duration
    wait_replicas: int
    fsync: bool
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
    wait_replicas: int
    fsync: bool


class JobOptions(AppOptions, total=False):
    """What ``@job`` takes: those of an app, and a name.

    Attributes:
        name: by which calls name the job function; ``module.qualname`` if not given.
        sensitive: the names of parameters whose values no view and no error text shall show;
            ``"*"``: all.
    """

    name: str
    sensitive: str | Sequence[str]
