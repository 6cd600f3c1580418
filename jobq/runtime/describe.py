"""What went wrong, in words: exceptions and ids as text for histories, dead letters and logs."""

import traceback as traceback_module
from dataclasses import replace

from jobq.core.history import MAX_ERROR_CHARS, MAX_MESSAGE_CHARS, MAX_TRACEBACK_CHARS, Kind, clean
from jobq.core.ids import check_job_id
from jobq.core.numbers import ms_of
from jobq.core.outcome import Buried, Failure, Retrying
from jobq.core.redact import Redactor
from jobq.errors import Dead, OptionError, Retry


def describe(error: BaseException, redactor: Redactor | None = None) -> Failure:
    """Return an exception as text that can be kept; frames of jobq itself are left out.

    Args:
        redactor: takes out what nobody may see, before anything is cut off.
    """
    kind = type(error)
    # Our own and Python's are known by their name alone.
    bare = kind.__module__ in {"builtins", "jobq.errors"}
    name = kind.__qualname__ if bare else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001  a broken __str__ of a user's class
        message = f"<{name} that cannot be shown>"
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("jobq."):
        frames = frames.tb_next
    try:
        lines = traceback_module.format_exception(kind, error.with_traceback(frames), frames)
    except Exception:  # noqa: BLE001  the same, in a chained exception
        lines = [f"{name}: {message}"]
    shown = "".join(lines)
    if redactor is not None:
        message, shown = redactor.text(message), redactor.text(shown)
    return Failure(
        clean(name[:MAX_ERROR_CHARS]),
        clean(message[:MAX_MESSAGE_CHARS]),
        clean(shown[-MAX_TRACEBACK_CHARS:]),
    )


def redacted(outcome: Retrying | Buried, redactor: Redactor) -> Retrying | Buried:
    """Return an outcome without what nobody may see."""
    error = replace(outcome.error, message=redactor.text(outcome.error.message))
    if isinstance(outcome, Buried):
        return Buried(redactor.text(outcome.reason), error)
    return replace(outcome, error=error)


def one_line(failure: Failure) -> str:
    """Return a failure in one line, for logs."""
    message = failure.message.splitlines()[0][:200] if failure.message else ""
    return f"{failure.error}: {message}" if message else failure.error


def text(raw: bytes) -> str:
    """Return an id for people, whatever a stranger put there."""
    return raw.decode("utf-8", "backslashreplace")[:200]


def kind_of(error: BaseException) -> Kind:
    """Return the word for it in histories."""
    if isinstance(error, Dead):
        return "dead"
    if isinstance(error, Retry):
        return "retry"
    return "timeout" if isinstance(error, TimeoutError) else "failed"


def enqueued_ms(first: bytes, entry: bytes) -> int:
    """Return when a job was enqueued, in milliseconds since 1970 (Redis clock).

    Args:
        first: the entry that it had at first; a stranger may have written anything there.
        entry: the entry that it has now.
    """
    for known in (first, entry):
        if (ms := ms_of(known.split(b"-")[0])) is not None:
            return ms
    return 0


def is_job_id(raw: bytes) -> bool:
    """Tell whether bytes out of a stream can be the id of a job."""
    try:
        check_job_id(raw.decode())
    except (OptionError, UnicodeDecodeError):
        return False
    return True
