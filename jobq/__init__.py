"""Background jobs on Redis Streams: at least once, never lost.

All in a few lines::

    from jobq import job

    @job(queue="mail", retries=5)
    def send_email(to: str, subject: str) -> str: ...

    handle = send_email.delay("ada@example.org", subject="Hi")
    handle.result(timeout=5)
"""

from typing import TYPE_CHECKING, Final

from jobq import errors

# Apps and job functions
from jobq.client.app import JobQ
from jobq.client.bound import BoundCall
from jobq.client.default import default_app
from jobq.client.function import AsyncJobFunction, JobFunction

# Jobs, from outside and from inside
from jobq.client.handle import JobHandle
from jobq.client.late import JOB_LOG, load

# Options
from jobq.core.backoff import Exponential
from jobq.core.current import current_job
from jobq.core.job import JobState

# What a job raises to steer itself
from jobq.errors import Dead, JobExpired, Retry, Snooze

if TYPE_CHECKING:
    from jobq.observe.joblog import JobLogHandler

# The default app's
job: Final = default_app.job
send: Final = default_app.send
asend: Final = default_app.asend
register_type: Final = default_app.register_type

__all__ = [
    "AsyncJobFunction",
    "BoundCall",
    "Dead",
    "Exponential",
    "JobExpired",
    "JobFunction",
    "JobHandle",
    "JobLogHandler",
    "JobQ",
    "JobState",
    "Retry",
    "Snooze",
    "asend",
    "current_job",
    "default_app",
    "errors",
    "job",
    "register_type",
    "send",
]


def __getattr__(name: str) -> object:
    """Import what only some need, when it is asked for."""
    if name == "JobLogHandler":
        return load(JOB_LOG).JobLogHandler
    raise AttributeError(f"module 'jobq' has no attribute {name!r}")
