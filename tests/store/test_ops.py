"""Every op: what it does to Redis, what it answers, and what it does the second time."""

import dataclasses

from jobq.core.job import JobState
from jobq.core.result import CANCELLED
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.keys import PARKED
from jobq.store.ops import enqueue, fetch, inspect, manage, settle, upkeep
from tests.store.line import (
    CALL,
    WORKER,
    Line,
    Run,
    delivered,
    ids,
    pending,
    problems,
    steal,
    waiting,
)
from tests.support.server import Server
from tests.support.wait import wait_until

# ---------------------------------------------------------------------------- enqueue


def test_enqueue(run: Run, server: Server) -> None:
    assert run(enqueue.enqueue("mail", "a", b"\x00\xff")) == 1
    ((entry, fields),) = server.cli("XRANGE", "jobq:{mail}:jobs", "-", "+")
    assert fields == [b"a", b"\x00\xff"]
    assert server.cli("HGET", "jobq:{mail}:index", "a") == b"j" + entry
    assert problems(server) == []


def test_enqueue_many_keeps_the_order(run: Run, server: Server) -> None:
    names = [f"job{number}" for number in range(enqueue.MOST_CALLS)]
    assert Line(run).add(*names) == enqueue.MOST_CALLS
    assert waiting(server) == names
    assert server.cli("HLEN", "jobq:{mail}:index") == enqueue.MOST_CALLS


def test_an_id_of_ones_own_is_taken_while_the_job_lives(line: Line, server: Server) -> None:
    def add() -> bool:
        return line.run(enqueue.enqueue_unique("mail", "mine", CALL + b"mine"))

    assert add()
    assert not add()
    (attempt,) = line.read()
    assert not add()
    assert line.fail(attempt)
    assert not add()
    (attempt,) = line.claim()
    assert line.bury(attempt)
    assert not add()
    assert line.run(manage.purge("mail", "mine", line.letters()["mine"]))
    assert add()
    (attempt,) = line.read()
    assert line.settle([attempt], ttl=60_000) == []
    assert not add(), "its result is kept"
    server.cli("DEL", keys.result("mail", "mine"))
    assert add()
    assert waiting(server) == ["mine"]


def test_register_queue(run: Run) -> None:
    for name in ("b", "a", "b"):
        run(enqueue.register_queue(name))
    assert run(inspect.queues()) == ["a", "b"]


# ---------------------------------------------------------------------------- fetch


def test_read_gives_each_job_once(line: Line) -> None:
    line.add("a", "b", "c")
    assert ids(line.read(2)) == ["a", "b"]
    assert ids(line.read(2, "w2")) == ["c"]
    assert line.read(2) == []


def test_read_waits_for_no_longer_than_it_says(line: Line) -> None:
    assert line.run(fetch.read("mail", WORKER, 1, 0.01)) == []


def test_read_any(line: Line) -> None:
    other = Line(line.run, "news").open()
    assert line.run(fetch.read_any(["mail", "news"], WORKER, 0.01)) == []
    line.add("a", "b")
    other.add("c")
    got = line.run(fetch.read_any(["news", "mail"], WORKER, 1.0))
    assert sorted((queue, entry[1][0]) for queue, entry in got) == [("mail", b"a"), ("news", b"c")]


def test_claim_takes_what_is_due_of_its_kinds(line: Line, server: Server) -> None:
    for job_id, kind in (("a", fetch.SYNC), ("b", fetch.ASYNC), ("c", fetch.UNKNOWN)):
        assert line.fail(line.start(job_id), kind=kind)
    assert line.fail(line.start("d"), delay=3600.0)
    assert ids(line.claim(10, kinds=fetch.ASYNC)) == ["b"]
    assert ids(line.claim(1, kinds=fetch.SYNC + fetch.UNKNOWN)) == ["a"]
    claimed = line.run(fetch.claim("mail", "w2", 10, keys.KINDS))
    (held,) = claimed.held
    assert held.fields is not None
    assert held.fields[:2] == [b"c", CALL + b"c"]
    assert (held.count, held.history) == (2, b"h")
    assert claimed.next_due is not None
    assert 3_500_000 < claimed.next_due <= 3_600_000
    assert problems(server) == []


def test_claim_answers_when_nothing_waits(line: Line) -> None:
    assert line.run(fetch.claim("mail", WORKER, 10, keys.KINDS)) == fetch.Claimed([], None)
    assert line.fail(line.start("a"))
    claimed = line.run(fetch.claim("mail", WORKER, 0, keys.KINDS))
    assert claimed == fetch.Claimed([], 0), "a limit of 0 takes nothing"


def test_claim_leaves_what_somebody_already_has(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    (attempt,) = line.claim()
    server.cli("ZADD", keys.due("mail"), 0, b"?" + attempt.entry)
    assert line.claim(worker="w2") == []
    assert line.finish(attempt)
    assert problems(server) == []


def test_claim_clears_away_what_was_deleted(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    ((entry, _),) = server.cli("XRANGE", line.retries, "-", "+")
    server.cli("XDEL", line.retries, entry)
    server.cli("HDEL", keys.index("mail"), "a")
    server.cli("DEL", keys.history("mail"))
    assert line.claim() == []
    assert problems(server) == []


def test_mine_lists_page_by_page(line: Line) -> None:
    line.add("a", "b", "c")
    line.read(3)
    assert ids(line.mine(line.jobs)) == ["a", "b", "c"]
    assert line.mine(line.jobs, "w2") == []
    first = line.run(fetch.mine("mail", line.jobs, WORKER, count=2))
    after = f"({first[-1].entry.decode()}"
    (last,) = line.run(fetch.mine("mail", line.jobs, WORKER, after=after, count=2))
    assert last.fields == [b"c", CALL + b"c"]
    assert (last.count, last.history) == (1, None)
    assert line.run(fetch.mine("mail", line.jobs, WORKER, idle=3_600_000)) == []


def test_mine_tells_of_a_deleted_entry(line: Line, server: Server) -> None:
    attempt = line.start("a")
    server.cli("XDEL", line.jobs, attempt.entry)
    (held,) = line.run(fetch.mine("mail", line.jobs, WORKER))
    assert held.fields is None
    assert line.run(upkeep.acknowledge(line.jobs, attempt.entry)) == 1
    assert line.run(upkeep.acknowledge(line.jobs, attempt.entry)) == 0


# ---------------------------------------------------------------------------- ends of an attempt


def test_retry_and_finish(line: Line, server: Server) -> None:
    attempt = line.start("a")
    assert line.fail(attempt, delay=60.0)
    assert line.look("a").state is JobState.RETRYING
    assert problems(server) == []
    assert not line.fail(attempt), "it has been retried already"
    assert not line.bury(attempt)
    assert line.settle([attempt]) == [attempt.entry]
    assert line.claim() == [], "it is not due"
    ((entry, _),) = server.cli("XRANGE", line.retries, "-", "+")
    assert delivered(server, line.retries, entry) == (PARKED, 1)
    server.cli("ZADD", keys.due("mail"), 0, b"?" + entry)
    (again,) = line.claim()
    assert again.count == 2
    assert line.look("a").state is JobState.RUNNING
    assert line.finish(again, ttl=60_000)
    assert not line.finish(again, ttl=60_000)
    assert line.run(inspect.result("mail", "a")) == b"result of a"
    assert 0 < server.cli("PTTL", keys.result("mail", "a")) <= 60_000
    assert line.count().totals == {
        "succeeded": 1, "retried": 1, "dead": 0, "cancelled": 0, "expired": 0,
    }  # fmt: skip
    assert problems(server) == []


def test_an_attempt_counts_itself(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    for count in (2, 3, 4):
        (attempt,) = line.claim()
        assert attempt.count == count
        assert line.fail(attempt, history=b"h%d" % count)
        assert not line.fail(attempt), "parked already"
    assert line.look("a").history == b"h4"
    assert line.count().totals["retried"] == 4
    assert problems(server) == []


def test_park_keeps_the_history_when_none_is_given(line: Line) -> None:
    assert line.fail(line.start("a"), history=b"first")
    (attempt,) = line.claim()
    assert line.release(attempt)
    assert line.look("a").history == b"first"


def test_what_is_released_is_not_counted(line: Line, server: Server) -> None:
    assert line.release(line.start("a"))
    (attempt,) = line.claim(kinds=fetch.SUSPECT)
    assert attempt.count == 1
    assert line.release(attempt)
    assert not line.release(attempt)
    (attempt,) = line.claim(kinds=fetch.SUSPECT)
    assert attempt.count == 1
    assert line.count().totals["retried"] == 0
    assert problems(server) == []


def test_bury_a_first_attempt(line: Line, server: Server) -> None:
    attempt = line.start("a")
    assert line.bury(attempt, ttl=60_000)
    assert not line.bury(attempt, ttl=60_000)
    seen = line.look("a")
    assert (seen.state, seen.call, seen.letter) == (JobState.DEAD, CALL + b"a", b"letter")
    assert seen.result == b"failure"
    assert 0 < server.cli("PTTL", keys.result("mail", "a")) <= 60_000
    (letter,) = line.run(inspect.letter("mail", line.letters()["a"]))
    assert letter == inspect.DeadEntry(line.letters()["a"], "a", CALL + b"a", b"letter")
    assert line.count().dead == 1
    assert waiting(server) == []
    assert problems(server) == []


def test_bury_a_later_attempt(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    (attempt,) = line.claim()
    assert not line.bury(dataclasses.replace(attempt, count=1)), "an older attempt"
    assert line.bury(attempt)
    assert line.run(inspect.result("mail", "a")) is None
    assert line.look("a").state is JobState.DEAD
    assert problems(server) == []


def test_bury_what_cannot_be_read_under_another_id(line: Line, server: Server) -> None:
    server.cli("XADD", line.jobs, "*", b"\xff{}", b"", "more", "fields")
    (strange,) = line.read()
    named = dataclasses.replace(strange, job_id=b"id-of-ours")
    op = settle.bury(named, b"call", b"letter", 60_000, b"failure", was=strange.job_id)
    assert line.run(op)
    assert list(line.letters()) == ["id-of-ours"]
    assert problems(server) == []


def test_bury_does_not_forget_a_living_job_of_the_same_id(line: Line, server: Server) -> None:
    line.add("a")
    server.cli("XADD", line.jobs, "*", "a", "garbage")
    _, strange = line.read(2)
    named = dataclasses.replace(strange, job_id=b"new")
    assert line.run(settle.bury(named, b"garbage", b"letter", 0, b"", was=b"a"))
    assert line.look("a").state is JobState.RUNNING
    assert problems(server) == []


def test_a_former_owner_is_refused_in_retries(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    (attempt,) = line.claim()
    steal(server, attempt)
    for refused in (line.finish, line.fail, line.release, line.bury):
        assert not refused(attempt)
    entry = attempt.entry.decode()
    assert line.run(upkeep.renew(line.retries, WORKER, [entry])) == [entry]
    thief = dataclasses.replace(attempt, consumer="w2")
    assert line.run(upkeep.renew(line.retries, "w2", [entry])) == []
    assert line.finish(thief)
    assert problems(server) == []


def test_the_same_worker_is_refused_with_an_attempt_of_before(line: Line, server: Server) -> None:
    assert line.fail(line.start("a"))
    (second,) = line.claim()
    assert line.fail(second)
    (third,) = line.claim()
    for refused in (line.finish, line.fail, line.release, line.bury):
        assert not refused(second)
    assert line.finish(third)
    assert problems(server) == []


def test_a_former_owner_is_refused_in_jobs(line: Line, server: Server) -> None:
    attempt = line.start("a")
    steal(server, attempt)
    assert line.settle([attempt], ttl=60_000) == [attempt.entry]
    assert line.settle([attempt], ttl=60_000, held=1) == [attempt.entry]
    for refused in (line.fail, line.release, line.bury):
        assert not refused(attempt)
    entry = attempt.entry.decode()
    assert line.run(upkeep.renew(line.jobs, WORKER, [entry])) == [entry]
    assert line.run(inspect.result("mail", "a")) is None
    assert pending(server, line.jobs) == {attempt.entry.decode(): "w2"}
    assert problems(server) == []


# ---------------------------------------------------------------------------- upkeep


def test_renew_makes_a_lease_young_and_counts_nothing(line: Line, server: Server) -> None:
    attempts = [line.start("a"), line.start("b")]
    server.cli("XCLAIM", line.jobs, "jobq", WORKER, 0, attempts[0].entry, "IDLE", 60_000, "JUSTID")
    entries = [one.entry.decode() for one in attempts]
    assert line.run(upkeep.renew(line.jobs, WORKER, [*entries, "1-1"])) == ["1-1"]
    assert line.run(fetch.mine("mail", line.jobs, WORKER, idle=30_000)) == []
    assert delivered(server, line.jobs, attempts[0].entry) == (WORKER, 1)
    assert line.run(upkeep.renew(line.jobs, WORKER, [])) == []


def test_renew_does_not_bring_back_what_is_finished(line: Line, server: Server) -> None:
    attempt = line.start("a")
    assert line.settle([attempt]) == []
    entry = attempt.entry.decode()
    assert line.run(upkeep.renew(line.jobs, WORKER, [entry])) == [entry]
    assert pending(server, line.jobs) == {}


def test_consumers_and_forget(line: Line) -> None:
    attempt = line.start("a")
    (consumer,) = line.run(upkeep.consumers(line.jobs))
    assert consumer[:2] == (WORKER, 1)
    assert not line.run(upkeep.forget(line.jobs, WORKER)), "it has something pending"
    assert line.settle([attempt]) == []
    assert line.run(upkeep.forget(line.jobs, WORKER))
    assert line.run(upkeep.forget(line.jobs, WORKER)), "the same again is harmless"
    assert line.run(upkeep.consumers(line.jobs)) == []


def test_the_register_of_workers(line: Line, server: Server) -> None:
    run = line.run
    now = run(upkeep.beat("w1", b"what it is", 60.0))
    run(upkeep.beat("w1", b"what \xff it is now", 60.0))
    run(upkeep.beat("w2", b"other", 60.0))
    assert [(one.name, one.record) for one in run(inspect.workers())] == [
        ("w1", b"what \xff it is now"),
        ("w2", b"other"),
    ]
    assert all(now <= one.seen_ms < now + 60_000 for one in run(inspect.workers()))
    run(upkeep.leave("w2"))
    server.cli("HSET", keys.WORKERS, "silent", f"{now - 61_000} record", "garbage", "garbage")
    run(upkeep.beat("w3", b"third", 60.0))
    assert [one.name for one in run(inspect.workers())] == ["w1", "w3"]


def test_unblock_ends_a_read_and_loses_nothing(mail: Line, server: Server) -> None:
    connection = Connection(lambda: parse_url(server.url))
    client = connection.run(upkeep.client_id())
    op = fetch.read("mail", WORKER, 1, 5.0)
    connection.begin([op])
    wait_until(lambda: _blocked(server), "the read blocks")
    mail.run(upkeep.unblock(client))
    assert connection.finish([op]) == [[]]
    mail.add("a")
    assert connection.exchange([op])[0][0][1][0] == b"a"
    connection.close()


def _blocked(server: Server) -> bool:
    return b"blocked_clients:1" in server.cli("INFO", "clients")


# ---------------------------------------------------------------------------- the desk


def test_cancel_what_is_ready(line: Line, server: Server) -> None:
    line.add("a", "b")
    assert line.cancel("a") == manage.CANCELLED_IT
    assert line.cancel("a") == manage.NOT_WAITING
    assert line.look("a").state is JobState.CANCELLED
    assert line.run(inspect.result("mail", "a")) == CANCELLED
    assert 0 < server.cli("PTTL", keys.result("mail", "a")) <= 300_000
    assert ids(line.read(5)) == ["b"]
    assert line.count().totals["cancelled"] == 1
    assert problems(server) == []


def test_cancel_before_there_is_a_group(run: Run, server: Server) -> None:
    line = Line(run)
    line.add("a")
    assert line.look("a").state is JobState.READY
    assert line.cancel("a") == manage.CANCELLED_IT
    assert waiting(server) == []


def test_cancel_a_retry(line: Line, server: Server) -> None:
    for number, kind in enumerate(keys.KINDS):
        assert line.fail(line.start(f"job{number}"), kind=kind)
        assert line.cancel(f"job{number}") == manage.CANCELLED_IT
    assert line.claim(10) == []
    assert pending(server, line.retries) == {}
    assert server.cli("EXISTS", keys.due("mail"), keys.history("mail"), keys.index("mail")) == 0
    assert problems(server) == []


def test_cancel_refuses_what_is_dead(line: Line, server: Server) -> None:
    assert line.bury(line.start("a"))
    assert line.cancel("a") == manage.IS_DEAD
    assert line.cancel("nobody") == manage.NOT_WAITING
    assert line.count().totals["cancelled"] == 0
    assert problems(server) == []


def test_revive(line: Line, server: Server) -> None:
    assert line.bury(line.start("a"), ttl=60_000)
    entry = line.letters()["a"]
    assert not line.revive("b", entry)
    assert not line.revive("a", "1-1")
    assert line.revive("a", entry)
    assert not line.revive("a", entry)
    assert line.letters() == {}
    seen = line.look("a")
    assert (seen.state, seen.history, seen.result) == (JobState.READY, b"old history", None)
    (attempt,) = line.read()
    assert attempt.job_id == b"a"
    assert line.settle([attempt]) == []
    assert problems(server) == []


def test_purge(line: Line, server: Server) -> None:
    assert line.bury(line.start("a"), ttl=60_000)
    entry = line.letters()["a"]
    assert not line.run(manage.purge("mail", "a", "1-1"))
    assert line.run(manage.purge("mail", "a", entry))
    assert not line.run(manage.purge("mail", "a", entry))
    assert line.look("a").state is None
    assert not line.revive("a", entry)
    assert problems(server) == []


def test_purge_of_a_strangers_letter_spares_the_job_whose_id_it_bears(
    line: Line, server: Server
) -> None:
    line.add("a")
    entry = server.cli("XADD", keys.dead("mail"), "*", "a", "garbage")
    assert line.run(manage.purge("mail", "a", entry.decode()))
    assert line.look("a").state is JobState.READY
    assert problems(server) == []


def test_letters_page_by_page(line: Line) -> None:
    for name in "abc":
        assert line.bury(line.start(name))
    newest = line.run(inspect.letters("mail", limit=2))
    assert [one.job_id for one in newest] == ["c", "b"]
    (oldest,) = line.run(inspect.letters("mail", before=f"({newest[-1].entry}", limit=2))
    assert oldest.job_id == "a"
    assert line.run(inspect.letter("mail", "1-1")) == []


# ---------------------------------------------------------------------------- looking


def test_look(line: Line) -> None:
    assert line.look("a") == inspect.Seen(None)
    line.add("a")
    ready = line.look("a")
    now = line.run(upkeep.time_ms())
    assert (ready.state, ready.call, ready.attempt) == (JobState.READY, CALL + b"a", 0)
    assert ready.enqueued_ms is not None
    assert now - 10_000 < ready.enqueued_ms <= now
    (attempt,) = line.read()
    running = line.look("a")
    assert (running.state, running.attempt, running.worker) == (JobState.RUNNING, 1, WORKER)
    assert line.fail(attempt, delay=60.0)
    retrying = line.look("a")
    assert (retrying.state, retrying.attempt, retrying.worker) == (JobState.RETRYING, 1, None)
    assert retrying.due_ms is not None
    assert now < retrying.due_ms <= line.run(upkeep.time_ms()) + 60_000
    assert (retrying.history, retrying.enqueued_ms) == (b"h", ready.enqueued_ms)


def test_count(line: Line, server: Server) -> None:
    assert line.count().oldest_ms is None
    line.add("a", "b", "c", "d", "e", "f")
    first = line.look("b").enqueued_ms
    one, *_ = line.read(4)
    a, b, c, d = line.mine(line.jobs)
    assert one == a
    assert line.fail(a, delay=60.0, kind=fetch.UNKNOWN)
    assert line.fail(b)
    assert line.bury(c)
    counted = line.count()
    assert first is not None
    assert (counted.ready, counted.running, counted.retrying) == (3, 1, 1), "b is due"
    assert (counted.unknown, counted.put_back, counted.dead) == (1, 1, 1)
    assert counted.oldest_ms == line.look("e").enqueued_ms
    (again,) = line.claim()
    counted = line.count()
    assert (counted.ready, counted.running, counted.retrying) == (2, 2, 1)
    assert line.finish(again)
    assert line.settle([d]) == []
    assert line.count().totals == {
        "succeeded": 2, "retried": 2, "dead": 1, "cancelled": 0, "expired": 0,
    }  # fmt: skip
    assert problems(server) == []


def test_a_queue_that_never_was(run: Run) -> None:
    line = Line(run, "nothing")
    counted = line.count()
    assert (counted.ready, counted.running, counted.retrying, counted.dead) == (0, 0, 0, 0)
    assert line.letters() == {}
    assert run(inspect.queues()) == []
    assert run(inspect.workers()) == []
