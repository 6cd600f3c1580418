"""Why a job is not running: one sentence for each situation."""

from dataclasses import replace

import pytest

from jobq.core.history import AttemptRecord, History
from jobq.core.job import JobState
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.core.pauses import PauseRecord
from jobq.core.why import Around, Facts, Reader, explain

NOW = 1_800_000_000_000
HOUR = 3_600_000
FREE = Reader(frozenset({"f"}), takes=True, running=0, room=2)
BUSY = replace(FREE, running=2)
IDLE = Around(readers=(FREE,))
FAILED = History().add(AttemptRecord(1, NOW - HOUR, "failed", "E", "no"), retries=5)
CRASHED = History().add(AttemptRecord(1, NOW - HOUR, "crashed", "WorkerDied", "killed"))
PAUSE = PauseRecord(job=None, since_ms=NOW - HOUR, until_ms=None, by="ada", reason="a deploy")
OF_F = PauseRecord(job="f", since_ms=NOW - HOUR, until_ms=NOW + HOUR, by="", reason="")
READY, RETRYING, DELAYED = JobState.READY, JobState.RETRYING, JobState.DELAYED


def facts(state: JobState | None, around: Around = IDLE, **more: object) -> Facts:
    known = Facts(job_id="j1", queue="mail", name="f", now_ms=NOW, state=state, around=around)
    return replace(known, **more)  # type: ignore[arg-type]


def waits(**around: object) -> Around:
    return Around(**{"readers": (FREE,), "ready_ms": NOW - 2 * HOUR, **around})  # type: ignore[arg-type]


SITUATIONS = [
    (facts(None), "missing", "There is no job j1"),
    (facts(JobState.SUCCEEDED), "succeeded", "It has succeeded."),
    (facts(JobState.CANCELLED), "cancelled", "It was cancelled."),
    (
        facts(JobState.EXPIRED, message="it waited 2 h"),
        "expired",
        "It has expired and was dropped: it waited 2 h.",
    ),
    (facts(JobState.RUNNING, worker="host:1:0", attempt=1), "running", "running on host:1:0."),
    (facts(JobState.RUNNING, worker="w", attempt=3), "running", "running on w, attempt 3."),
    (facts(JobState.RUNNING, worker="w", is_ending=True), "ending", "its cancel was asked for"),
    (facts(JobState.DEAD), "dead", "its dead letter cannot be read"),
    (
        facts(
            JobState.DEAD,
            letter=Letter("attempts used up", Failure("KeyError", "'x'", ""), 4, 0, History()),
        ),
        "dead",
        "It is dead after 4 attempts: attempts used up (KeyError: 'x').",
    ),
    (
        facts(
            JobState.DEAD,
            letter=Letter("expired", Failure("JobExpired", "it waited 2 h", ""), 0, 0, History()),
        ),
        "expired",
        "It has expired: it waited 2 h.",
    ),
    (
        facts(DELAYED, waits(due_ms=NOW + HOUR, ready_ms=0)),
        "delayed",
        "It is delayed until 2027-01-15 09:00:00 UTC (in 1 h).",
    ),
    (
        facts(DELAYED, waits(due_ms=NOW + HOUR, pause=PAUSE)),
        "delayed",
        "(in 1 h); queue mail is paused since 2027-01-15 07:00:00 UTC (1 h ago) by ada: a deploy.",
    ),
    (
        facts(DELAYED, waits(due_ms=NOW + HOUR), history=History().snoozed(NOW)),
        "snoozed",
        "It has snoozed itself, until",
    ),
    (
        facts(DELAYED, waits(due_ms=NOW + HOUR), history=History().snoozed(1).snoozed(NOW)),
        "snoozed",
        "It has snoozed itself, for the 2nd time, until",
    ),
    (
        facts(RETRYING, waits(due_ms=NOW + HOUR), history=FAILED, attempt=3),
        "retry",
        "It waits for retry 3 of 5 until 2027-01-15 09:00:00 UTC (in 1 h).",
    ),
    (
        facts(READY, waits(due_ms=NOW + 5000), history=History().unknown_since(NOW - HOUR)),
        "unknown",
        "none that took it knows a job function 'f'",
    ),
    (
        facts(READY, waits(pause=PAUSE)),
        "paused",
        "Queue mail is paused since 2027-01-15 07:00:00 UTC (1 h ago) by ada: a deploy.",
    ),
    (
        facts(READY, waits(pause=OF_F)),
        "paused",
        "Job function f of queue mail is paused since 2027-01-15 07:00:00 UTC (1 h ago), until 202",
    ),
    (
        facts(READY, waits(expires=HOUR / 1000)),
        "expired",
        "It has expired: it has waited 2 h for its first start, longer than 1 h.",
    ),
    (facts(READY, waits(readers=())), "no worker", "No live worker reads queue mail."),
    (
        facts(READY, waits(readers=(replace(FREE, takes=False),))),
        "draining",
        "The worker of queue mail takes nothing new: draining or stopping.",
    ),
    (facts(READY, name="g"), "unknown", "No live worker of queue mail knows a job function 'g'."),
    (
        facts(RETRYING, waits(due_ms=NOW - 1), history=CRASHED, attempt=1),
        "crashed",
        "Its worker process died once while it ran, so it waits for a process of its own.",
    ),
    (
        facts(READY, waits(readers=(BUSY, BUSY), ahead=7)),
        "busy",
        "Every worker of queue mail is busy: 4 of 4 jobs run, and it waits behind 7 others.",
    ),
    (facts(READY, waits(ahead=1)), "behind", "It waits behind 1 other."),
    (facts(READY, waits(ahead=10_001)), "behind", "It waits behind more than 10,000 others."),
    (facts(READY), "next", "waits for its start right now."),
    (
        facts(RETRYING, waits(due_ms=NOW), history=FAILED, attempt=1),
        "next",
        "waits for retry 1 of 5 right now.",
    ),
]


@pytest.mark.parametrize(("known", "code", "said"), SITUATIONS)
def test_one_reason(known: Facts, code: str, said: str) -> None:
    why = explain(known)
    assert why.code == code
    assert said in why.sentence
    assert why.sentence.endswith((".", "there."))


def test_until_when_is_told_where_it_is_known() -> None:
    assert explain(facts(DELAYED, waits(due_ms=NOW + 5))).until_ms == NOW + 5
    assert explain(facts(READY, waits(pause=OF_F))).until_ms == NOW + HOUR
    assert explain(facts(READY, waits(pause=PAUSE))).until_ms is None


def test_the_fix_is_a_command() -> None:
    assert explain(facts(READY, waits(pause=PAUSE))).fix == "jobq queue resume mail"
    assert explain(facts(READY, waits(pause=OF_F))).fix == "jobq queue resume mail --job f"
    assert explain(facts(JobState.DEAD)).fix == "jobq dlq retry j1"
    assert "jobq worker --queue mail" in explain(facts(READY, waits(readers=()))).fix


def test_what_was_started_has_not_expired() -> None:
    again = facts(READY, waits(expires=60.0), history=History().snoozed(NOW - 5))
    assert explain(again).code == "next"
