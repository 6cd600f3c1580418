"""How a command ends: its exit code, and the one line that says why."""

import os
import sys
import traceback
from collections.abc import Sequence
from enum import IntEnum

import click

from jobq.cli.output import clean, paint, say
from jobq.errors import JobNotFound, JobqError, StoreUnavailable


class Code(IntEnum):
    """The exit codes; docs/cli.md promises them to scripts."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOTHING = 3
    UNREACHABLE = 4
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
    PIPE_CLOSED = 141  # 128 + SIGPIPE: `jobq dlq export | head -1` ends as any other program does


class NothingMatched(click.ClickException):
    """There is no such job or dead letter, or nothing to change."""

    exit_code = Code.NOTHING.value


def debugging(words: Sequence[str]) -> bool:
    """Tell whether tracebacks are wanted: ``--debug``, or JOBQ_DEBUG set to anything but 0."""
    return "--debug" in words or os.environ.get("JOBQ_DEBUG", "0") not in {"", "0"}


def report(error: BaseException, *, debug: bool) -> int:
    """Say on stderr why a command ended, and return its exit code.

    Args:
        error: what ended it; an exception that nobody foresaw is raised again.
        debug: show where it was raised.
    """
    if debug and not isinstance(error, click.exceptions.Abort | BrokenPipeError):
        shown = "".join(traceback.format_exception(error))
        click.echo(clean(shown, lines=True), err=True)
    match error:
        case BrokenPipeError():
            _drop_output()
            return Code.PIPE_CLOSED
        case click.exceptions.Abort():
            return _aborted(error)
        case click.UsageError():
            error.show()
            return Code.USAGE
        case click.ClickException():
            _complain(error.format_message())
            return error.exit_code
        case JobqError():
            _complain(str(error) or type(error).__doc__ or type(error).__name__)
            return _code_of(error)
        case OSError():  # a full disk, a directory that is gone
            _complain(str(error))
            _drop_output()
            return Code.ERROR
    raise error


def _code_of(error: JobqError) -> Code:
    match error:
        case StoreUnavailable():
            return Code.UNREACHABLE
        case JobNotFound():
            return Code.NOTHING
    return Code.ERROR


def _complain(message: str) -> None:
    say(f"{paint('jobq:', 'red', err=True)} {clean(message, lines=True)}", err=True)


def _aborted(error: click.exceptions.Abort) -> Code:
    # click makes an Abort of Ctrl-C and of the end of the input alike; only the cause tells.
    cause = error.__cause__ or error.__context__
    if isinstance(cause, EOFError):
        _complain("no answer; nothing was changed")
        return Code.ERROR
    return Code.INTERRUPTED


def _drop_output() -> None:
    """Drop what is still buffered: at its end, the interpreter would try and complain again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
