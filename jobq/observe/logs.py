"""Logs of a worker: one line for each event, as text or as JSON, whatever the message holds.

Guarantees:
    * what an app has configured of its logging stays as it is;
    * each record that any logger makes inside a job knows the job (``jobq_id`` and so on), and
      lines that are written here show it.
"""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

from jobq.core.current import running
from jobq.errors import JobTimedOut
from jobq.observe.events import fields_of, own
from jobq.observe.joblog import JobLogHandler

Format = Literal["text", "json"]

#: Characters that become escapes: a message of a stranger must not write lines of its own, steer
#: the terminal, or reorder and hide what stands there. Control (C0, DEL, C1), separators of lines,
#: bidi overrides and isolates, zero width.
_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9},
    **{
        code: f"\\u{code:04x}"
        for code in (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
    },
}

#: Key in our lines → attribute of the record. The names are long because `logging` refuses an
#: ``extra=`` that has the name of an attribute.
_OF_JOB: Final = {
    "job": "jobq_id",
    "name": "jobq_name",
    "queue": "jobq_queue",
    "attempt": "jobq_attempt",
}

#: What every record has: the rest came with ``extra=``.
_USUAL: Final = frozenset(
    (
        *logging.makeLogRecord({}).__dict__,
        *_OF_JOB.values(),
        *("message", "asctime", "taskName"),
    )
)

#: Characters of a value of ``extra=`` that is not JSON, as it is shown.
_MOST_SHOWN: Final = 1000


def configure(log_format: Format, *, verbose: bool) -> Callable[[], None]:
    """Send the logs of jobq to stderr.

    Args:
        log_format: ``text`` for people, ``json`` for machines: one object a line.
        verbose: debug messages too.

    Returns:
        What is to be called in a worker when its app has been imported: sends all other logs
        there too, from INFO on, unless the app has configured logging itself; and lets each record
        that is made inside a job know it.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    ours = logging.getLogger("jobq")
    ours.handlers[:] = [handler]
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.propagate = False
    return lambda: _in_worker(handler)


def _in_worker(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for name, logger in list(root.manager.loggerDict.items()):
        if own(name) and isinstance(logger, logging.Logger):
            logger.disabled = False  # dictConfig() does that to all that it does not name
    if all(isinstance(one, JobLogHandler) for one in root.handlers):
        root.addHandler(handler)
        if root.level == logging.WARNING:  # as Python has it: nobody has said anything
            root.setLevel(logging.INFO)
    made = logging.getLogRecordFactory()
    if getattr(made, "knows_job", False):
        return

    def make(*args: object, **kwargs: object) -> logging.LogRecord:
        record = made(*args, **kwargs)
        delivery = running.get(None)
        if delivery is not None:
            job = delivery.running_job
            record.jobq_id, record.jobq_name = job.id, job.name
            record.jobq_queue, record.jobq_attempt = job.queue, job.attempt
        return record

    make.knows_job = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, also those that jobs make; what ends a job there must reach it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  as logging calls it
        """Say that a line could not be written, unless its job is what has ended."""
        if isinstance(sys.exc_info()[1], JobTimedOut):
            raise  # noqa: PLE0704  called where it was caught
        super().handleError(record)


class TextFormatter(logging.Formatter):
    """``07:12:03.123 warning failed job=…``; tracebacks follow, indented, unlike a line.

    Lines of other loggers than jobq's start with the name of theirs, and end with the job.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        said = record.getMessage()
        if not own(record.name):
            job = "".join(f" {key}={value}" for key, value in _job_of(record).items())
            said = f"{record.name}: {said}{job}"
        line = f"{at} {record.levelname.lower():7} {escape(said)}"
        for block in (_traceback(self, record), record.stack_info or ""):
            line = "\n    ".join((line, *map(escape, block.splitlines())))
        return line


class JsonFormatter(logging.Formatter):
    """One object a line: at, level, logger, process, message; then what depends.

    Lines of jobq have ``event`` and its keys; all others the job that they were logged in, and
    under ``extra`` what was given as that.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if own(record.name):
            said |= fields_of(record.name, record.msg, record.args)
        else:
            said |= _job_of(record)
        if shown := _traceback(self, record):
            said["traceback"] = shown
        if record.stack_info:
            said["stack"] = record.stack_info
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        if extra:
            said["extra"] = extra
        try:
            return json.dumps(
                said, ensure_ascii=True, allow_nan=False, default=_shown, skipkeys=True
            )
        except (ValueError, RecursionError):  # nested in itself, or too deep
            return json.dumps({**said, "extra": _shown(extra)}, ensure_ascii=True)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return formatter.formatException(record.exc_info)
    return record.exc_text or ""


def _job_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the job that a record was made in."""
    known = vars(record)
    return {key: known[name] for key, name in _OF_JOB.items() if name in known}


def _shown(value: object) -> str:
    try:
        return str(value)[:_MOST_SHOWN]
    except Exception:  # noqa: BLE001  a user's __str__
        return f"<{type(value).__name__} that cannot be shown>"


def escape(text: str) -> str:
    """Return text with its control characters, newlines too, as escapes."""
    return text.translate(_ESCAPES)
