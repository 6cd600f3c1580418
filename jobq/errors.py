"""Every exception of jobq, in one tree.

Our exception hierarchy::

    JobqError
    ├── ConfigError            a setting, an option or an app that cannot be used
    │   ├── OptionError        an unknown option, or a value it cannot take
    │   └── AppNotFound        no app where the command line looked for one
    ├── EnqueueError           a call that was refused before it reached Redis
    │   ├── ArgumentError      the arguments do not fit the job function (a TypeError too)
    │   ├── NotEncodable       a value that cannot travel
    │   ├── CallTooLarge       more bytes than one call may have
    │   ├── DuplicateJob       the id, or the uniqueness key, is taken by a job that still lives
    │   └── QueueFull          the queue has as many jobs as the app lets it have
    ├── StoreError             Redis did not do what was asked
    │   ├── StoreUnavailable   unreachable: the operation may or may not have happened
    │   ├── StoreFull          out of memory: nothing was added
    │   ├── StoreReadOnly      a replica: nothing was written
    │   ├── NotConfirmed       the job is in Redis, but not on as many replicas, or on disk, in time
    │   └── StoreDenied        wrong password, or the user may not do this
    ├── ServerError            the embedded server cannot be found or started
    ├── ResultError            asking for a result
    │   ├── JobNotFound        no such job: finished and forgotten, or never there
    │   ├── ResultNotReady     it did not finish in time (a TimeoutError too)
    │   ├── ResultUnreadable   it finished, but its result could not be stored or read
    │   ├── JobFailed          it is among the dead letters; has the remote traceback
    │   │   └── JobExpired     it waited too long, and was not started
    │   └── JobCancelled       it was cancelled
    ├── ScheduleNotFound       no schedule of that name
    ├── ReportTooLarge         a chunk or a checkpoint has too many bytes (a ValueError too)
    ├── AttemptLost            this attempt reports of a job that others have by now
    └── CallUnreadable         bytes in a stream that are not a call
        ├── CallTooNew         a call in a newer format than this release knows
        └── CallUntrusted      a call that is not signed as the worker wants it

What is raised in a job that runs longer than its timeout is a TimeoutError, so that it can be
caught as one:

    JobTimedOut

What is raised in a sync job that is cancelled while it runs is no Exception, so that
``except Exception`` does not catch it; an async job gets asyncio.CancelledError:

    JobInterrupted

What a job raises to steer itself is not an error, so it stands beside the tree:

    Retry                      run me again later
    Snooze                     not now: start me again at another time
    Dead                       do not run me again: to the dead letters
"""

from datetime import datetime, timedelta


class JobqError(Exception):
    """Anything that jobq raises on purpose."""


class ConfigError(JobqError):
    """A setting cannot be used."""


class OptionError(ConfigError, TypeError):
    """An option is unknown, or cannot take that value."""


class AppNotFound(ConfigError):
    """No app was found. Name one with --app module:attribute."""


class EnqueueError(JobqError):
    """A call was refused before it reached Redis."""


class ArgumentError(EnqueueError, TypeError):
    """The arguments do not fit the signature of the job function."""


class NotEncodable(EnqueueError, TypeError):
    """A value cannot travel to a worker.

    Attributes:
        path: where the value stands, such as ``argument 'to'[0]``.
        type_name: the qualified name of its type.
    """

    def __init__(self, path: str, type_name: str, hint: str) -> None:
        super().__init__(f"{path} has type {type_name}, which cannot travel. {hint}")
        self.path = path
        self.type_name = type_name


class CallTooLarge(EnqueueError, ValueError):
    """A call has more bytes than one call may have. Send a reference instead."""


class DuplicateJob(EnqueueError):
    """The id is taken by a job that still lives, or whose result is still kept.

    With ``on_conflict="raise"``: a job of the same uniqueness key is there already, or there were
    as many as ``throttle`` allows.

    Attributes:
        job_id: the id that is taken; with a uniqueness key, the id of the job that has it.
        key: the uniqueness key; empty: it is about an id of the caller's own.
    """

    def __init__(self, job_id: str, key: str = "", *, throttled: bool = False) -> None:
        if throttled:
            said = (
                f"there were as many jobs of {key!r} as throttle allows; the last one is "
                f"{job_id}. Call again later."
            )
        elif key:
            said = (
                f"job {job_id} has the uniqueness key {key!r} already. Wait for it, or use "
                'on_conflict="existing" or "replace".'
            )
        else:
            said = (
                f"job {job_id!r} exists already: it is waiting, running, dead, or its result "
                "is still kept. Choose another job_id, or wait for that one."
            )
        super().__init__(said)
        self.job_id = job_id
        self.key = key


class QueueFull(EnqueueError):
    """The queue has as many jobs as ``JobQ(max_queue_size=...)`` lets it have; nothing was added.

    Attributes:
        queue: its name.
        size: how many jobs it has, dead letters too.
        dead: how many of them are dead letters.
        limit: how many it may have.
    """

    def __init__(self, queue: str, size: int, dead: int, limit: int) -> None:
        super().__init__(
            f"queue {queue!r} is full: it has {size:,} jobs, {dead:,} of them dead letters, and "
            f"max_queue_size is {limit:,}; nothing was added. Start more workers, clear the dead "
            f"letters (jobq dlq list -q {queue}), or raise max_queue_size."
        )
        self.queue = queue
        self.size = size
        self.dead = dead
        self.limit = limit


class StoreError(JobqError):
    """Redis did not do what was asked.

    Attributes:
        code: the first word of Redis's error reply, such as ``WRONGTYPE``; empty if there was none.
    """

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message or self.__doc__)
        self.code = code


class StoreUnavailable(StoreError, ConnectionError):
    """Redis cannot be reached; the operation may or may not have happened."""


class StoreFull(StoreError):
    """Redis is out of memory; nothing was added. Raise maxmemory or drain a queue."""


class StoreReadOnly(StoreError):
    """Redis is a read-only replica; nothing was written. Connect to the master."""


class NotConfirmed(StoreError):
    """The job is in Redis, but not yet where ``wait_replicas`` and ``fsync`` want it.

    It will run like any other. It is lost if its master is lost before it is replicated.

    Attributes:
        job_ids: the ids of the jobs, of one call or of a ``map()``.
    """

    def __init__(self, job_ids: tuple[str, ...], why: str) -> None:
        what = f"job {job_ids[0]} is" if len(job_ids) == 1 else f"{len(job_ids)} jobs are"
        super().__init__(f"{what} in Redis, but {why}")
        self.job_ids = job_ids


class StoreDenied(StoreError):
    """Redis refused the user: wrong password, or not allowed by its ACL."""


class ServerError(JobqError):
    """The embedded server cannot be found or started."""


class ResultError(JobqError):
    """A result cannot be had."""


class JobNotFound(ResultError, LookupError):
    """No such job: it finished and its result is no longer kept, or it never was.

    Attributes:
        job_id: the id that was asked for.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"no job {job_id!r}: it finished and its result is no longer kept (result_ttl), "
            "it was removed, or it was never there."
        )
        self.job_id = job_id


class ResultNotReady(ResultError, TimeoutError):
    """The job did not finish within the timeout; it goes on."""


class ResultUnreadable(ResultError):
    """The job succeeded, but its result could not be stored or cannot be read."""


class JobFailed(ResultError):
    """The job is dead.

    Attributes:
        job_id: the id of the job.
        error: the qualified name of the exception that ended it, such as ``KeyError``.
        message: what that exception said.
        traceback: the remote traceback as text; empty where there was none.
        attempts: how often the job was started.
    """

    def __init__(
        self, job_id: str, error: str, message: str, traceback: str, attempts: int
    ) -> None:
        tail = f"\n\nRemote traceback:\n{traceback}" if traceback else ""
        times = f"{attempts} attempt" + ("" if attempts == 1 else "s")
        super().__init__(f"job {job_id} failed after {times}: {error}: {message}{tail}")
        self.job_id = job_id
        self.error = error
        self.message = message
        self.traceback = traceback
        self.attempts = attempts


class JobExpired(JobFailed):
    """The job waited longer for its first start than ``expires`` allows, and was not started.

    Attributes:
        job_id: the id of the job.
        message: how long it waited, and how long it might have.
    """

    args: tuple[object, ...]

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(job_id, "JobExpired", message, "", 0)
        self.args = (f"job {job_id} has expired: {message}",)


class JobCancelled(ResultError):
    """The job was cancelled before it finished.

    Attributes:
        job_id: the id of the job.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled")
        self.job_id = job_id


class ScheduleNotFound(JobqError):
    """There is no schedule of that name.

    Attributes:
        name: the name that was asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"no schedule {name!r}; app.schedules.list() has those there are")
        self.name = name


class ReportTooLarge(JobqError, ValueError):
    """A chunk or a checkpoint has more bytes than it may have."""


class AttemptLost(JobqError):
    """The job was started elsewhere, or has been ended: what this attempt reports is refused."""


class CallUnreadable(JobqError, ValueError):
    """Bytes in a stream are not a call."""


class CallTooNew(CallUnreadable):
    """A call is in a newer format than this release knows.

    Attributes:
        version: the format's number.
    """

    def __init__(self, version: int) -> None:
        super().__init__(f"call format {version} is newer than this release of jobq")
        self.version = version


class CallUntrusted(CallUnreadable):
    """A call is not signed as the worker wants it.

    Attributes:
        reason: ``not signed`` or ``bad signature``.
    """

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason = reason


class JobTimedOut(JobqError, TimeoutError):
    """A job ran longer than its timeout."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the job ran longer than its timeout of {seconds:g} s")
        self.seconds = seconds


class JobInterrupted(BaseException):
    """The sync job that runs was cancelled: clean up, and let it pass."""


class Retry(Exception):
    """Raise it in a job to run the job again later; it uses an attempt.

    Args:
        after: seconds, a timedelta or text such as ``"5m"``; None: the job's backoff.
        reason: what the history of the job shall say.
    """

    def __init__(
        self, after: float | timedelta | str | None = None, reason: str = "asked to be retried"
    ) -> None:
        super().__init__(reason)
        self.after = after
        self.reason = reason


class Snooze(Exception):
    """Raise it in a job to be started again later, as if this attempt had not been: it uses none.

    Args:
        after: seconds, a timedelta or text such as ``"10m"``.
        until: an aware datetime, instead of ``after``.
    """

    def __init__(
        self,
        after: float | timedelta | str | None = None,
        *,
        until: datetime | None = None,
    ) -> None:
        super().__init__("asked for another time")
        self.after = after
        self.until = until


class Dead(Exception):
    """Raise it in a job to send the job to the dead letters at once.

    Args:
        reason: what ``jobq dlq list`` shall show.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
