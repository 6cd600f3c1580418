"""A handler of `logging` that keeps log lines with the job that runs."""

import logging

from jobq.core.current import running
from jobq.errors import JobqError, JobTimedOut


class JobLogHandler(logging.Handler):
    """Keeps what is logged in a job with that job: the last 200 lines.

    ``logging.getLogger().addHandler(jobq.JobLogHandler())`` in the module of the app does it for
    all loggers. What is logged outside of jobs is none of its business. They are read by
    `JobHandle.logs` and ``jobq job logs``.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Do what every handler does, but for its lock.

        A job that is ended while it holds that would leave it locked for ever.
        """
        passed: object = self.filter(record)
        if not passed:
            return False
        # From Python 3.12 on a filter may return another record.
        self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if a job runs here."""
        job = running.get(None)
        if job is None:
            return
        try:
            job.running_job.log(self.format(record), record.levelname)
        except JobTimedOut:  # this is where the time of the job was over, and it must hear of that
            raise
        except JobqError:  # another process, or the job has ended: nowhere to keep it
            return
        except Exception:  # noqa: BLE001  as every handler does
            self.handleError(record)
