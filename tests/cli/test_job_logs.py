"""`jobq job logs`, `jobq job watch`, and the progress in `jobq job show`."""

import json
import threading
from collections.abc import Callable

import pytest

from jobq.core import result
from jobq.core.fingerprint import NO_GROUP
from jobq.core.history import History
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.store import keys
from jobq.store.ops import reports, settle
from jobq.store.ops.reports import Batch
from jobq.store.wire import Op, nothing
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run

LINES = [("INFO", "starts"), ("ERROR", "Traceback:\n  line 1"), ("", "\x1b[2Jplain")]


def start(undertaker: Undertaker) -> tuple[str, settle.Attempt]:
    job_id = undertaker.enqueue()
    attempt, _ = undertaker.start()
    undertaker.store.run(reports.report(attempt, Batch("r", 1, 1, (0.4, "resizing"), LINES)))
    return job_id, attempt


def test_logs_are_shown_clean(run: Run, undertaker: Undertaker) -> None:
    job_id, attempt = start(undertaker)
    said = run("job", "logs", job_id)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].endswith(" INFO starts")
    assert lines[1].endswith(" ERROR Traceback:")
    assert lines[2] == "    line 1"
    assert lines[3].endswith(" plain")
    assert "\x1b" not in said.out
    undertaker.store.run(reports.report(attempt, Batch("s", 1, 2, lines=[("INFO", "again")])))
    assert "-- attempt 2\n" in run("job", "logs", job_id).out


def test_logs_as_json(run: Run, undertaker: Undertaker) -> None:
    job_id, _ = start(undertaker)
    found = [json.loads(line) for line in run("job", "logs", job_id, "--json").out.splitlines()]
    assert [one["level"] for one in found] == ["INFO", "ERROR", ""]
    assert found[1]["text"] == "Traceback:\n  line 1"
    assert set(found[0]) == {"id", "at", "attempt", "level", "text"}


def test_a_job_without_lines_and_one_that_is_not_there(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    assert run("job", "logs", job_id).out == f"No log lines of {job_id}.\n"
    for command in ("logs", "watch"):
        said = run("job", command, "nobody")
        assert said.code == 3
        assert "no job nobody" in said.err


def test_show_tells_the_progress(run: Run, undertaker: Undertaker) -> None:
    job_id, _ = start(undertaker)
    assert "progress  40 %  resizing\n" in run("job", "show", job_id).out
    shown = run("job", "show", job_id, "--json").json
    assert isinstance(shown, dict)
    assert shown["progress"].pop("at")
    assert shown["progress"] == {"fraction": 0.4, "note": "resizing", "attempt": 1}


def letter() -> Letter:
    return Letter("attempts used up", Failure("ValueError", "no", ""), 1, 0, History())


def later(act: Callable[[], object]) -> None:
    threading.Timer(0.15, act).start()


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("succeed", 0, "It has succeeded: 42"),
        ("cancel", 1, "It is cancelled"),
        ("bury", 1, "It is dead: ValueError: no"),
    ],
)
def test_watch_ends_with_the_job(
    run: Run, undertaker: Undertaker, end: str, code: int, words: str
) -> None:
    job_id, attempt = start(undertaker)
    blob = result.SUCCEEDED_HEAD + undertaker.codec.encode_value(42)
    ops = {
        "succeed": settle.settle_one(attempt, (attempt.entry, attempt.job_id, 60_000, blob, 0)),
        "cancel": settle.cancelled(attempt),
        "bury": settle.bury(attempt, b"", letter().encode(), 0, b"", group=NO_GROUP),
    }
    later(lambda: undertaker.store.run(ops[end]))
    said = run("job", "watch", job_id)
    assert said.code == code
    lines = said.out.splitlines()
    assert "running  40 %  resizing" in lines
    assert lines[0].endswith(" INFO starts")
    assert lines[-1] == words


def test_logs_follow_until_the_end(run: Run, undertaker: Undertaker) -> None:
    job_id, attempt = start(undertaker)

    def finish() -> None:
        undertaker.store.run(reports.report(attempt, Batch("r", 2, 1, lines=[("INFO", "ends")])))
        undertaker.store.run(settle.cancelled(attempt))

    later(finish)
    said = run("job", "logs", job_id, "-f")
    assert said.code == 0
    assert said.out.splitlines()[-1].endswith(" INFO ends")


def test_what_is_left_of_a_job_that_is_gone_is_shown(run: Run, undertaker: Undertaker) -> None:
    job_id, attempt = start(undertaker)
    undertaker.store.run(settle.cancelled(attempt))
    undertaker.store.run(Op(("DEL", keys.result("mail", job_id)), nothing))
    assert run("job", "logs", job_id).out.splitlines()[0].endswith(" INFO starts")
    said = run("job", "watch", job_id, "--json")
    assert said.code == 0
    assert json.loads(said.out.splitlines()[-1])["state"] == "ended"
