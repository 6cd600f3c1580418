"""Jobs, dead letters and their calls as people read them."""

from datetime import datetime

from jobq.cli.output import ago, clean, facts, paint, say, utc
from jobq.cli.pausing import pause_text
from jobq.cli.shapes import raw, represent
from jobq.client.rows import CallRow, JobRow, LetterRow, PastAttempt
from jobq.core.outcome import Failure

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


def show_letter(letter: LetterRow, now: datetime) -> None:
    """Write the page of a dead letter."""
    _headline(failure_text(letter.failure) or letter.reason)
    facts(
        [
            ("job", call_text(letter.call)),
            ("id", letter.id),
            ("queue", letter.queue),
            ("why", letter.reason),
            ("signed", _signed(letter.call)),
            ("attempts", str(letter.attempts)),
            ("enqueued", _when(letter.enqueued_at, now)),
            ("failed", _when(letter.failed_at, now)),
            *_unread(letter.call),
        ]
    )
    _past(letter.history)
    _traceback(letter.failure.traceback)
    say()
    if letter.readable:
        say(f"Run it again:    jobq dlq retry {clean(letter.id)}")
    say(f"Remove it:       jobq dlq purge {clean(letter.id)}")


def show_job(job: JobRow, now: datetime) -> None:
    """Write the page of a job."""
    if job.letter is not None:
        show_letter(job.letter, now)
        return
    call, result = job.call, job.result
    rows = [
        ("state", str(job.state)),
        ("job", call_text(call) if call else ""),
        ("id", job.id),
        ("queue", job.queue),
        ("attempt", str(job.attempt) if job.attempt else ""),
        ("worker", job.worker or ""),
        ("enqueued", _when(job.enqueued_at, now)),
        ("due", _when(job.due_at, now)),
        ("paused", pause_text(job.pause) if job.pause else ""),
        ("signed", _signed(call) if call else ""),
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


def _traceback(text: str) -> None:
    if not text:
        return
    say()
    say(paint("traceback", "bold"))
    for line in clean(text, lines=True).splitlines():
        say(f"  {line}")


def _short(value: object) -> str:
    text = represent(value)
    return text if len(text) <= _MOST_OF_ONE else text[: _MOST_OF_ONE - 1] + "…"
