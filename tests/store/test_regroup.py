"""A lost group is made anew: what has finished does not come back, everything else does."""

import pytest

from jobq.store import keys
from jobq.store.ops import fetch, settle, upkeep
from tests.store.line import WORKER, Line, Run, due_soon, ids, pending, problems, waiting
from tests.support.server import Server


def destroy(server: Server, *streams: str) -> None:
    for stream in streams:
        assert server.cli("XGROUP", "DESTROY", stream, "jobq") == 1


def test_the_same_again_is_harmless(line: Line, server: Server) -> None:
    line.add("a", "b")
    (a,) = line.read()
    assert line.fail(a)
    for _ in range(3):
        assert line.run(upkeep.regroup("mail")) == 0
    assert ids(line.read(5)) == ["b"]
    assert ids(line.claim(5)) == ["a"]
    assert problems(server) == []


def test_the_first_time_spares_what_strangers_put_there(run: Run, server: Server) -> None:
    line = Line(run)
    line.add("a")
    server.cli("XADD", line.jobs, "*", "stranger", "what", "x", "y")
    server.cli("XADD", line.retries, "*", "other", "stranger")
    assert run(upkeep.regroup("mail")) == 0
    assert [fields[0] for _, fields in run(fetch.read("mail", WORKER, 5, 0))] == [b"a", b"stranger"]
    assert ids(line.claim(5)) == ["other"]


def test_what_has_finished_does_not_come_back(line: Line, server: Server) -> None:
    line.add("old", "a", "b", "running", "ready")
    line.read(1, "w2")
    *done, _ = line.read(3)
    assert line.settle(done) == []
    assert {"a", "b"} < set(waiting(server)), "they linger behind the old one"
    destroy(server, line.jobs)
    assert line.run(upkeep.regroup("mail")) == 2
    assert line.run(upkeep.regroup("mail")) == 0
    assert ids(line.read(9)) == ["old", "running", "ready"]
    assert problems(server) == []


def test_thousands_are_looked_through(mail: Line, server: Server) -> None:
    names = [f"job{number}" for number in range(2500)]
    mail.add(*names[:1000])
    mail.add(*names[1000:2000])
    mail.add(*names[2000:])
    attempts = mail.read(2500)
    for start in range(0, 2400, 800):
        done = [one for one in attempts[start : start + 800] if one.job_id != b"job7"]
        assert mail.settle(done) == []
    kept = ["job7", *names[2400:]]
    destroy(server, mail.jobs)
    mail.run(upkeep.regroup("mail"))
    assert ids(mail.read(5000)) == kept
    assert problems(server) == []


def test_all_retries_are_due_again_and_none_twice(line: Line, server: Server) -> None:
    for name in ("waits", "runs", "async"):
        kind = fetch.ASYNC if name == "async" else fetch.ANY
        assert line.fail(line.start(name), delay=0.0 if name == "runs" else 3600.0, kind=kind)
    (running,) = line.claim()
    assert running.job_id == b"runs"
    destroy(server, line.retries)
    for _ in range(2):
        assert line.run(upkeep.regroup("mail")) == 0
        assert problems(server) == []
    assert not line.finish(running), "its lease went with the group"
    (again,) = line.claim(5)
    assert again.job_id == b"runs"
    assert line.finish(again)
    assert line.count().retrying == 2
    letters = {letter for letter, _ in due_soon(server)}
    assert letters == {fetch.ANY, fetch.ASYNC}
    assert problems(server) == []


def test_more_than_a_thousand_retries(mail: Line, server: Server) -> None:
    mail.add(*(f"job{number}" for number in range(1000)))
    for attempt in mail.read(1000):
        assert mail.fail(attempt)
    mail.add(*(f"more{number}" for number in range(200)))
    for attempt in mail.read(200):
        assert mail.fail(attempt, delay=60.0)
    mail.claim(600)
    destroy(server, mail.retries, mail.jobs)
    mail.run(upkeep.regroup("mail"))
    assert problems(server) == []
    assert (mail.count().ready, mail.count().retrying) == (1000, 200)
    assert len(mail.claim(1200)) == 1000


@pytest.mark.parametrize("lost", ["jobs", "retries", "both", "streams"])
def test_a_late_worker_is_refused(line: Line, server: Server, lost: str) -> None:
    assert line.fail(line.start("a"))
    (later,) = line.claim()
    first = line.start("b")
    streams = {"jobs": [line.jobs], "retries": [line.retries]}
    if lost == "streams":
        server.cli("FLUSHALL")
    else:
        destroy(server, *streams.get(lost, [line.jobs, line.retries]))
    line.run(upkeep.regroup("mail"))
    if lost != "retries":
        assert line.settle([first], ttl=9_000) == [first.entry]
        assert not line.bury(first)
        assert not line.fail(first)
    if lost != "jobs":
        assert not line.finish(later)
        assert not line.release(later)
    assert problems(server) == []


def test_a_worker_that_still_has_some_of_before_trims_nothing_unfinished(
    line: Line, server: Server
) -> None:
    line.add("a", "b", "c")
    before = line.read(3)
    destroy(server, line.jobs)
    line.run(upkeep.regroup("mail"))
    (a,) = line.read(1)
    assert a.job_id == b"a"
    batch = [(one.entry, one.job_id, 0, b"", 0) for one in (a, before[2])]
    assert line.run(settle.settle("mail", WORKER, batch)) == [before[2].entry]
    assert ids(line.read(5)) == ["b", "c"]
    assert pending(server, line.jobs).keys() == {one.entry.decode() for one in before[1:]}
    assert problems(server) == []


def test_what_an_earlier_group_had_delivered_is_not_trimmed(line: Line, server: Server) -> None:
    """A worker finishes all that is pending in the new group; the rest is still to come again."""
    line.add("a", "b", "c")
    line.read(3)
    destroy(server, line.jobs)
    line.run(upkeep.regroup("mail"))
    (a,) = line.read(1)
    assert line.run(settle.settle("mail", WORKER, [(a.entry, a.job_id, 0, b"", 0)], held=1)) == []
    assert ids(line.read(5)) == ["b", "c"]
    assert problems(server) == []


def test_flushall(line: Line, server: Server) -> None:
    line.add("a")
    server.cli("FLUSHALL")
    assert line.run(upkeep.regroup("mail")) == 0
    line.add("b")
    assert ids(line.read(5)) == ["b"]
    assert keys.index("mail").encode() in server.cli("KEYS", "*")
    assert problems(server) == []
