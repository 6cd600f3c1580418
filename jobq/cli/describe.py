"""Jobs, dead letters and their calls as people read them."""

from datetime import datetime

from jobq.cli.output import ago, clean, facts, paint, say, utc
from jobq.cli.pausing import pause_text
from jobq.cli.shapes import raw, represent
from jobq.cli.tracebacks import show_traceback
from jobq.client.rows import CallRow, JobRow, LetterRow, PastAttempt
from jobq.core.outcome import Failure
from jobq.core.reports import Progress

#: Characters of one argument and of all arguments on the page of a job.
_MOST_OF_ONE = 200
_MOST_OF_ALL = 2000
#: Bytes that are shown of a call that cannot be read.
_MOST_OF_RAW = 64


def call_text(call: CallRow) -> str:
    """Return a call as Python writes it: ``mail.send('ada@example.org', subject='Hi')``."""
    name = call.name or "?"
    if call.args is None or call.kwargs is None:
        return f"{name}(…)"
    words = [_short(one) for one in call.args]
    words += [f"{key}={_short(one)}" for key, one in call.kwargs.items()]
    text = ", ".join(words)
    return f"{name}({text if len(text) <= _MOST_OF_ALL else text[: _MOST_OF_ALL - 1] + '…'})"


def failure_text(failure: Failure) -> str:
    """Return what an exception said, on one line: ``KeyError: 'ada'``."""
    return ": ".join(part for part in (failure.error, failure.message) if part)


def progress_text(found: Progress | None) -> str:
    """Return how far a job is, in words: ``40 %  resizing``; empty: it has not said."""
    if found is None:
        return ""
    percent = f"{100 * found.fraction:.0f} %"
    return f"{percent}  {found.note}" if found.note else percent


def show_letter(letter: LetterRow, now: datetime, progress: Progress | None = None) -> None:
    """Write the page of a dead letter."""
    _headline(failure_text(letter.failure) or letter.reason)
    facts(
        [
            ("job", call_text(letter.call)),
            ("id", letter.id),
            ("queue", letter.queue),
            ("why", letter.reason),
            ("group", letter.group),
            ("signed", _signed(letter.call)),
            *_headers(letter.call),
            ("attempts", str(letter.attempts)),
            ("progress", progress_text(progress)),
            ("enqueued", _when(letter.enqueued_at, now)),
            ("failed", _when(letter.failed_at, now)),
            *_unread(letter.call),
        ]
    )
    _past(letter.history)
    _tracebacks(letter.history, letter.failure.traceback)
    say()
    if letter.readable:
        say(f"Run it again:    jobq dlq retry {clean(letter.id)}")
    say(f"Remove it:       jobq dlq purge {clean(letter.id)}")


def show_job(job: JobRow, now: datetime, progress: Progress | None = None) -> None:
    """Write the page of a job."""
    if job.letter is not None:
        show_letter(job.letter, now, progress)
        return
    call, result = job.call, job.result
    rows = [
        ("state", str(job.state)),
        ("job", call_text(call) if call else ""),
        ("id", job.id),
        ("queue", job.queue),
        ("attempt", str(job.attempt) if job.attempt else ""),
        ("worker", job.worker or ""),
        ("progress", progress_text(progress)),
        ("enqueued", _when(job.enqueued_at, now)),
        ("due", _when(job.due_at, now)),
        ("paused", pause_text(job.pause) if job.pause else ""),
        ("signed", _signed(call) if call else ""),
        *(_headers(call) if call else ()),
        *(_unread(call) if call else ()),
    ]
    if result is not None:
        value = represent(result.value) if job.state == "succeeded" and not result.problem else ""
        failure = Failure(result.error, result.message, "")
        rows += [("result", value), ("problem", result.problem), ("error", failure_text(failure))]
    facts(rows)
    _past(job.history)
    if job.history:
        _traceback(job.history[-1].traceback)
    elif result is not None:
        _traceback(result.traceback)


def _headline(text: str) -> None:
    say(paint(clean(text) or "no error was recorded", "red"))
    say()


def _when(moment: datetime | None, now: datetime) -> str:
    return "" if moment is None else f"{utc(moment)}  ({ago(moment, now)})"


def _signed(call: CallRow) -> str:
    return f"signed by {call.signed_by} (not checked here)" if call.signed_by else ""


def _headers(call: CallRow) -> list[tuple[str, str]]:
    texts = (f"{name}={_short(value)}" for name, value in call.headers.items())
    return [("header" if at == 0 else "", text) for at, text in enumerate(texts)]


def _unread(call: CallRow) -> list[tuple[str, str]]:
    if not call.problem:
        return []
    more = "…" if len(call.raw) > _MOST_OF_RAW else ""
    return [("unread", call.problem), ("bytes", raw(call.raw[:_MOST_OF_RAW]) + more)]


def _past(history: tuple[PastAttempt, ...]) -> None:
    if not history:
        return
    say()
    say(paint("history", "bold"))
    for one in history:
        what = failure_text(Failure(one.error, one.message, ""))
        say(clean(f"  {utc(one.at)}  attempt {one.attempt} {one.kind}  {what}").rstrip())


def _tracebacks(history: tuple[PastAttempt, ...], last: str) -> None:
    """Write the traceback of each attempt, once where several have the same."""
    attempts: dict[str, list[str]] = {}
    for one in history:
        if one.traceback:
            attempts.setdefault(one.traceback, []).append(str(one.attempt))
    attempts.setdefault(last, [])
    for text, numbers in attempts.items():
        many = "attempts" if len(numbers) > 1 else "attempt"
        of = f" of {many} {', '.join(numbers)}" if numbers and len(attempts) > 1 else ""
        _traceback(text, f"traceback{of}")


def _traceback(text: str, head: str = "traceback") -> None:
    if not text:
        return
    say()
    say(paint(head, "bold"))
    show_traceback(clean(text, lines=True))


def _short(value: object) -> str:
    text = represent(value)
    return text if len(text) <= _MOST_OF_ONE else text[: _MOST_OF_ONE - 1] + "…"
