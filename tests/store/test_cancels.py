"""The cancel of a job that runs: it is marked, ends as cancelled, and does not start again."""

import dataclasses
from collections.abc import Callable

import pytest

from jobq.core.job import JobState
from jobq.core.result import CANCELLED
from jobq.store import keys
from jobq.store.ops import control, fetch, inspect, manage, settle, upkeep
from jobq.store.ops.control import Command
from jobq.store.ops.settle import Attempt
from tests.store.line import WORKER, Line, Run, ids, problems, steal
from tests.support.server import Server

Start = Callable[[Line, str], Attempt]


def start_first(line: Line, job_id: str) -> Attempt:
    return line.start(job_id)


def start_later(line: Line, job_id: str) -> Attempt:
    assert line.fail(line.start(job_id))
    (attempt,) = line.claim()
    return attempt


STARTS = pytest.mark.parametrize("start", [start_first, start_later])


def is_cancelled(line: Line, server: Server, job_id: str) -> bool:
    """Tell whether a job has ended as cancelled, and left nothing but the word that says so."""
    assert line.run(inspect.result("mail", job_id)) == CANCELLED
    assert 0 < server.cli("PTTL", keys.result("mail", job_id)) <= 300_000
    assert line.claim(5) == line.read(5) == []
    left = [key for key in keys.of_queue("mail") if server.cli("EXISTS", key)]
    assert not {keys.index("mail"), keys.due("mail"), keys.cancels("mail")} & set(left)
    return line.look(job_id).state is JobState.CANCELLED and problems(server) == []


@STARTS
def test_a_job_that_runs_is_marked_and_goes_on(line: Line, server: Server, start: Start) -> None:
    attempt = start(line, "a")
    assert line.run(manage.mark("mail", "a")) == ""
    for _ in range(2):
        assert line.cancel("a") == manage.IS_RUNNING
    letter = "r" if attempt.count else "j"
    assert line.run(manage.mark("mail", "a")) == letter + attempt.entry.decode()
    assert line.look("a").state is JobState.RUNNING
    assert line.count().totals["cancelled"] == 0
    assert problems(server) == []


@STARTS
def test_an_attempt_that_was_interrupted(line: Line, server: Server, start: Start) -> None:
    attempt = start(line, "a")
    assert line.cancel("a") == manage.IS_RUNNING
    assert line.cancelled(attempt)
    assert not line.cancelled(attempt)
    assert line.count().totals["cancelled"] == 1
    assert is_cancelled(line, server, "a")


@STARTS
@pytest.mark.parametrize("end", ["fail", "release"])
def test_no_attempt_follows(line: Line, server: Server, start: Start, end: str) -> None:
    attempt = start(line, "a")
    before = line.count().totals["retried"]
    assert line.cancel("a") == manage.IS_RUNNING
    assert getattr(line, end)(attempt)
    assert not getattr(line, end)(attempt)
    assert line.count().totals == {
        "succeeded": 0, "retried": before, "dead": 0, "cancelled": 1, "expired": 0,
    }  # fmt: skip
    assert is_cancelled(line, server, "a")


@STARTS
def test_what_ends_by_itself_ends_as_it_does(line: Line, server: Server, start: Start) -> None:
    good, bad = start(line, "good"), start(line, "bad")
    for attempt in (good, bad):
        assert line.cancel(attempt.job_id.decode()) == manage.IS_RUNNING
    assert line.finish(good, ttl=9_000) if good.count else line.settle([good], ttl=9_000) == []
    assert line.bury(bad)
    assert line.run(inspect.result("mail", "good")) == b"result of good"
    assert line.look("bad").state is JobState.DEAD
    assert server.cli("EXISTS", keys.cancels("mail")) == 0
    assert problems(server) == []


def test_a_batch_leaves_the_marks_of_others(line: Line, server: Server) -> None:
    attempts = [line.start(name) for name in ("a", "b", "c", "stolen")]
    for attempt in attempts:
        line.cancel(attempt.job_id.decode())
    a, b, c, stolen = attempts
    steal(server, stolen)
    assert line.settle([a, stolen]) == [stolen.entry]
    assert line.settle([b], held=2) == []
    marked = {name for name in ("a", "b", "c", "stolen") if line.run(manage.mark("mail", name))}
    assert marked == {"c", "stolen"}
    assert line.settle([c]) == []
    assert line.settle([dataclasses.replace(stolen, consumer="w2")], worker="w2") == []
    assert server.cli("EXISTS", keys.cancels("mail")) == 0


@STARTS
def test_a_former_owner_cannot_end_it(line: Line, server: Server, start: Start) -> None:
    attempt = start(line, "a")
    steal(server, attempt)
    assert not line.cancelled(attempt)
    assert line.look("a").state is JobState.RUNNING
    assert line.cancelled(dataclasses.replace(attempt, consumer="w2"))


def test_an_attempt_of_before_cannot_end_it(line: Line) -> None:
    second = start_later(line, "a")
    assert line.fail(second)
    (third,) = line.claim()
    assert not line.cancelled(second)
    assert line.cancelled(third)


def test_a_mark_that_was_left_is_no_mark_of_a_namesake(line: Line, server: Server) -> None:
    """A worker of an earlier release knows no marks, and an own id can be used again."""
    server.cli("HSET", keys.cancels("mail"), "a", "j1-1")
    assert line.fail(line.start("a"))
    (attempt,) = line.claim()
    assert line.fail(attempt)
    (attempt,) = line.claim()
    assert line.finish(attempt)
    assert server.cli("EXISTS", keys.cancels("mail")) == 0
    assert line.count().totals["cancelled"] == 0


@pytest.mark.parametrize("end", ["revive", "purge"])
def test_a_dead_letter_takes_no_mark_along(line: Line, server: Server, end: str) -> None:
    assert line.bury(line.start("a"))
    server.cli("HSET", keys.cancels("mail"), "a", "j1-1")
    entry = line.letters()["a"]
    if end == "revive":
        assert line.revive("a", entry)
    else:
        assert line.run(manage.purge("mail", "a", entry))
    assert server.cli("EXISTS", keys.cancels("mail")) == 0
    assert problems(server) == []


def test_a_waiting_job_takes_no_mark_along(line: Line, server: Server) -> None:
    line.add("a")
    server.cli("HSET", keys.cancels("mail"), "a", "j1-1")
    assert line.cancel("a") == manage.CANCELLED_IT
    assert is_cancelled(line, server, "a")


@STARTS
def test_a_lost_group_does_not_bring_it_back(line: Line, server: Server, start: Start) -> None:
    attempts = [start(line, "a"), start(line, "b")]
    assert line.cancel("a") == manage.IS_RUNNING
    for stream in (line.jobs, line.retries):
        server.cli("XGROUP", "DESTROY", stream, "jobq")
    for _ in range(2):
        assert line.run(upkeep.regroup("mail")) == 0
    assert line.count().totals["cancelled"] == 1
    again = line.claim(5) if attempts[0].count else line.read(5)
    assert ids(again) == ["b"]
    assert line.cancelled(again[0])
    assert is_cancelled(line, server, "a")


@STARTS
def test_a_lost_delivery_says_that_it_shall_not_start(line: Line, start: Start) -> None:
    attempt = start(line, "a")
    stream = line.retries if attempt.count else line.jobs
    (held,) = line.run(fetch.mine("mail", stream, WORKER))
    assert not any(held.is_cancelled(letter) for letter in "hjlr")
    assert line.cancel("a") == manage.IS_RUNNING
    (held,) = line.run(fetch.mine("mail", stream, WORKER))
    where = "r" if attempt.count else "j"
    assert [letter for letter in "hjlr" if held.is_cancelled(letter)] == [where]


def test_what_a_worker_does_not_know_is_counted(line: Line) -> None:
    assert line.release(line.start("known"))
    for _ in range(2):
        attempt = line.start("a") if not line.claim() else line.mine(line.retries)[0]
        op = settle.release(attempt, b"call", delay=0.0, kind=fetch.UNKNOWN)
        assert line.run(op)
    assert line.count().put_back == 2


# ---------------------------------------------------------------------------- commands


def test_commands_are_read_in_order(run: Run) -> None:
    assert run(control.last()) == "0-0"
    assert run(control.read("0-0")) == []
    sent = [Command(control.DRAIN, "ann:1"), Command(control.STOP, "bob:é"), Command("later", "x")]
    entries = [run(control.send(one)) for one in sent]
    assert run(control.last()) == entries[-1]
    assert run(control.read("0-0")) == list(zip(entries, sent, strict=True))
    assert run(control.read(entries[0], 1)) == [(entries[1], sent[1])]
    assert run(control.read(entries[-1])) == []


GARBAGE = [
    ("x", "y"),
    ("action", "stop"),
    ("target", "ann:1"),
    ("action", b"\xff\xfe", "target", "a"),
    (b"\xff", "a", "action", "stop", "target", b"\x80"),
    ("", ""),
]


@pytest.mark.parametrize("fields", GARBAGE)
def test_what_strangers_write_is_skipped(
    mail: Line, server: Server, fields: tuple[str | bytes, ...]
) -> None:
    server.cli("XADD", keys.CONTROL, "*", *fields)
    entry = mail.run(control.send(Command(control.DRAIN, "ann:1")))
    assert mail.run(control.read("0-0")) == [(entry, Command(control.DRAIN, "ann:1"))]


def test_a_page_of_garbage_is_got_past(mail: Line, server: Server) -> None:
    for _ in range(5):
        last = server.cli("XADD", keys.CONTROL, "*", "x", "y")
    entry = mail.run(control.send(Command(control.STOP, "ann:1")))
    ((after, command),) = mail.run(control.read("0-0", 5))
    assert (after, command) == (last.decode(), Command("", ""))
    assert mail.run(control.read(after, 5)) == [(entry, Command(control.STOP, "ann:1"))]


def test_old_commands_are_trimmed(mail: Line, server: Server) -> None:
    for number in range(1300):
        mail.run(control.send(Command(control.CANCEL, f"job{number}", "mail")))
    assert 1000 <= server.cli("XLEN", keys.CONTROL) < 1200
    (*_, (_, newest)) = mail.run(control.read("0-0", 5000))
    assert newest.target == "job1299"
