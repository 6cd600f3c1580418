"""A line for the start and the end of each job: what `jobq dev` shows of the work."""

import logging
import signal
from threading import current_thread, main_thread

from jobq.core.ports import Application
from jobq.runtime.arguments import log_jobs


def tell_of_jobs(app: Application) -> None:
    """Log each start of a job of this app with its arguments, and each return.

    Attempts that fail are logged by the worker. Sensitive arguments are redacted.
    """
    log_jobs(app, arguments=True, returns=logging.INFO, after=_leave_ctrl_c)


def _leave_ctrl_c() -> None:
    """Leave Ctrl-C to the supervisor again: a debugger listens to it after its `continue`."""
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
