"""Delayed and replaceable jobs in Redis: never early, moved once, and found in every state."""

import pytest

from jobq.core.job import JobState
from jobq.core.result import CANCELLED
from jobq.errors import StoreError
from jobq.store import keys
from jobq.store.ops import enqueue, fetch, inspect, manage, move, promote, upkeep
from jobq.store.ops.promote import Cursor, Promoted
from jobq.store.ops.settle import Attempt
from tests.store.line import (
    CALL,
    WORKER,
    Line,
    call_of,
    delivered,
    due_soon,
    everything,
    ids,
    pairs,
    pending,
    problems,
    waiting,
)
from tests.support.server import Server
from tests.support.wait import wait_until

HOUR = 3_600_000
LAST = f"{2**64 - 1}-{2**64 - 1}"


def delay(line: Line, *job_ids: str, ms: int = HOUR, queue: str = "") -> None:
    """Enqueue calls that are due later."""
    calls = [(one, CALL + one.encode()) for one in job_ids]
    line.run(enqueue.enqueue_special(queue or line.name, calls, due=(ms, 0)))


def is_due(server: Server, *job_ids: str, letter: str = "d") -> None:
    """Let them be due: at 1 s after 1970."""
    for job_id in job_ids:
        assert server.cli("ZADD", keys.due("mail"), "XX", "CH", 1000, letter + job_id) == 1


def replaceable(server: Server, job_id: str) -> None:
    """Make a delayed job one that can be replaced, as it is due now."""
    server.cli("ZREM", keys.due("mail"), "d" + job_id)
    server.cli("ZADD", keys.due("mail"), 1000, "q" + job_id)
    server.cli("HSET", keys.index("mail"), job_id, "q")


def fields_of(server: Server, stream: str, job_id: str) -> dict[str, str]:
    """Return what stands in the entry of a job beside its call."""
    (found,) = [
        fields
        for _, fields in server.cli("XRANGE", stream, "-", "+")
        if fields[0] == job_id.encode()
    ]
    return pairs(found[2:])


def promote_all(line: Line, count: int = promote.PAGE) -> list[Promoted]:
    """Go on until there is no more."""
    steps = [line.run(promote.promote("mail", None, count))]
    while steps[-1].more:
        steps.append(line.run(promote.promote("mail", steps[-1].cursor, count)))
    return steps


# ---------------------------------------------------------------------------- promoted


def test_not_before_it_is_due_and_then_at_once(line: Line, server: Server) -> None:
    now = line.run(upkeep.time_ms())
    delay(line, "a", ms=60_000)
    first = line.promote()
    assert (first.moved, first.ready, first.more) == (0, "", False)
    assert first.next_due_ms is not None
    assert now + 60_000 <= first.next_due_ms <= first.now_ms + 60_000
    assert line.read() == []
    seen = line.look("a")
    assert (seen.state, seen.call, seen.attempt) == (JobState.DELAYED, CALL + b"a", 0)
    assert seen.due_ms == first.next_due_ms
    assert seen.enqueued_ms == first.next_due_ms - 60_000
    counted = line.count()
    assert (counted.delayed, counted.ready, counted.retrying) == (1, 0, 0)
    assert problems(server) == []

    is_due(server, "a")
    assert line.look("a").state is JobState.READY
    assert line.count().ready == 1
    second = line.promote()
    assert (second.moved, second.lost, second.next_due_ms) == (1, 0, None)
    assert line.look("a").state is JobState.READY
    assert line.look("a").enqueued_ms == seen.enqueued_ms
    assert fields_of(server, line.jobs, "a") == {
        "first": f"{seen.enqueued_ms}-0",
        "ready": "1000",
    }
    assert line.promote().moved == 0
    assert problems(server) == []
    (attempt,) = line.read()
    assert (attempt.job_id, attempt.count) == (b"a", 0)
    assert line.settle([attempt]) == []
    assert problems(server) == []


def test_to_the_millisecond(mail: Line, server: Server) -> None:
    delay(mail, *(f"job{number}" for number in range(50)), ms=3)
    due = {at for _, at in due_soon(server)}
    while not (step := mail.promote()).moved:
        assert step.now_ms < max(due)
    assert step.now_ms >= max(due)
    assert step.moved == 50
    assert problems(server) == []


@pytest.mark.parametrize("priority", ["high", "low"])
def test_each_to_its_own_line(mail: Line, server: Server, priority: str) -> None:
    delay(mail, "a", queue=f"mail {priority}")
    is_due(server, "a")
    assert mail.promote().moved == 1
    assert mail.run(upkeep.regroup("mail")) == 0
    assert problems(server) == []
    assert waiting(server) == []
    other = Line(mail.run, f"mail {priority}")
    assert mail.look("a").state is JobState.READY
    assert mail.count().ready == 1
    (attempt,) = other.read()
    assert mail.look("a").state is JobState.RUNNING
    assert mail.count().running == 1
    assert problems(server) == []
    assert other.fail(attempt)
    assert problems(server) == []
    (again,) = mail.claim()
    assert mail.cancel("a") == manage.IS_RUNNING
    assert mail.run(manage.mark("mail", "a")).startswith("r")
    assert mail.cancelled(again)
    assert problems(server) == []


def test_it_stays_known_since_when_there_is_a_job_and_where_it_belongs(
    mail: Line, server: Server
) -> None:
    """Over retries, the dead letters and back."""
    delay(mail, "a", queue="mail high")
    is_due(server, "a")
    assert mail.promote().moved == 1
    mail.run(upkeep.regroup("mail"))
    high = keys.jobs("mail high")
    born = fields_of(server, high, "a")
    ((entry, fields),) = mail.run(fetch.read("mail high", WORKER, 1, 0))
    attempt = attempt_of("mail high", entry, fields)
    assert mail.fail(attempt)
    assert fields_of(server, mail.retries, "a") == {**born, "line": "h"}
    (held,) = mail.run(fetch.claim("mail", WORKER, 1, keys.KINDS)).held
    assert held.fields is not None
    later = attempt_of("mail", held.entry, held.fields, held.count)
    assert mail.bury(later)
    assert problems(server) == []
    assert fields_of(server, keys.dead("mail"), "a")["line"] == "h"
    assert mail.revive("a", mail.letters()["a"])
    assert server.cli("XLEN", high) == 1
    assert mail.look("a").state is JobState.READY
    assert problems(server) == []


def attempt_of(queue: str, entry: bytes, fields: list[bytes], count: int = 0) -> Attempt:
    """Return an attempt as a worker has it."""
    return Attempt(queue, WORKER, entry, fields[0], count, tuple(fields[2:]))


def test_thousands_of_one_moment_come_in_pages_and_in_order(mail: Line, server: Server) -> None:
    names = [f"job{number:04}" for number in range(2500)]
    for start in range(0, 2500, 500):
        delay(mail, *names[start : start + 500])
    for name in names:
        server.cli("ZADD", keys.due("mail"), 1000, "d" + name)
    steps = promote_all(mail, 1000)
    assert [step.moved for step in steps[:3]] == [1000, 1000, 500]
    assert waiting(server) == names
    assert problems(server) == []


def test_what_waits_for_workers_in_front_hides_nothing(mail: Line, server: Server) -> None:
    """Thousands of retries are due, and nobody takes them."""
    mail.add(*(f"job{number}" for number in range(1000)))
    for attempt in mail.read(1000):
        assert mail.fail(attempt, kind=fetch.ASYNC)
    delay(mail, "a", "b", ms=1)
    wait_until(lambda: mail.run(upkeep.time_ms()) > max(at for _, at in due_soon(server)), "due")
    steps = promote_all(mail, 100)
    assert sum(step.moved for step in steps) == 2
    assert len(steps) <= 13
    assert {step.ready for step in steps} == {fetch.ASYNC}
    # From there on a look costs one page, and finds what comes.
    delay(mail, "c", ms=1)
    cursor = steps[-1].cursor
    while not (step := mail.run(promote.promote("mail", cursor, 100))).moved:
        cursor = step.cursor
    assert waiting(server) == ["a", "b", "c"]
    assert problems(server) == []


def test_what_comes_later_is_not_skipped_for_what_workers_took(mail: Line, server: Server) -> None:
    """What was looked at is gone from there, and with it the reason to skip as many."""
    delay(mail, "a", "b", "c", ms=1)
    for job_id in ("a", "b"):
        replaceable(server, job_id)
    cursor = None
    for _ in range(2):  # the second look is at the same time, and counts those that it saw
        cursor = mail.run(promote.promote("mail", cursor, 2)).cursor
    assert cursor == Cursor("1000", 2)
    server.cli("ZADD", keys.due("mail"), 2000, "dc")
    assert sorted(ids(mail.claim(10))) == ["a", "b"]
    assert mail.run(promote.promote("mail", cursor, 2)).moved == 1
    assert waiting(server) == ["c"]


def test_the_same_moment_for_more_than_a_page(mail: Line, server: Server) -> None:
    """The cursor goes on within one millisecond."""
    mail.add(*(f"job{number}" for number in range(30)))
    for attempt in mail.read(30):
        assert mail.fail(attempt)
    for member in server.cli("ZRANGE", keys.due("mail"), 0, -1):
        server.cli("ZADD", keys.due("mail"), 1000, member)
    delay(mail, "z")
    is_due(server, "z")
    steps = promote_all(mail, 10)
    assert sum(step.moved for step in steps) == 1
    assert waiting(server) == ["z"]
    assert steps[-1].cursor == Cursor("1000", 30)


def test_large_calls_come_a_few_at_a_time(mail: Line, server: Server) -> None:
    """Redis does nothing else meanwhile: hundreds of them at once would take it seconds."""
    names = [f"job{number}" for number in range(8)]
    calls = [(name, b"x" * 400_000) for name in names]
    mail.run(enqueue.enqueue_special("mail", calls, due=(HOUR, 0)))
    is_due(server, *names)
    steps = promote_all(mail, promote.PAGE)
    assert [step.moved for step in steps if step.moved] == [3, 3, 2]
    assert [step.more for step in steps[:2]] == [True, True]
    assert waiting(server) == names
    assert problems(server) == []


# ---------------------------------------------------------------------------- strangers


def test_a_clock_that_was_set_back_hides_nothing(mail: Line, server: Server) -> None:
    """What was looked at last is later than now: what is added since then is due before it."""
    delay(mail, "a")
    is_due(server, "a")
    ahead = Cursor(str(mail.run(upkeep.time_ms()) + HOUR), 3)
    done = mail.run(promote.promote("mail", ahead))
    assert (done.moved, done.cursor) == (1, Cursor("1000", 0))
    assert mail.run(promote.promote("mail", ahead)).cursor == Cursor()


def test_what_is_moved_to_another_queue_when_it_is_due_is_ready_there(
    mail: Line, server: Server
) -> None:
    """Whoever promotes there may have looked beyond its time already."""
    delay(mail, "a")
    is_due(server, "a")
    mail.run(upkeep.regroup("bulk"))
    aside = mail.run(move.aside("mail", "a"))
    assert aside is not None
    assert mail.run(move.attach("bulk", aside, aside.call))
    assert server.cli("HGET", keys.index("bulk"), "a")[:1] == b"j"
    assert fields_of(server, keys.jobs("bulk"), "a")["ready"] == "1000"
    assert server.cli("ZCARD", keys.due("bulk")) == 0


def test_one_without_a_call_is_dropped_and_counted(mail: Line, server: Server) -> None:
    delay(mail, "a", "b")
    is_due(server, "a", "b")
    server.cli("HDEL", keys.delayed("mail"), "a")
    step = mail.promote()
    assert (step.moved, step.lost) == (1, 1)
    assert mail.look("a").state is None
    assert problems(server) == []


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"12 x call", b"\xff\x00"])
def test_one_that_cannot_be_read_goes_to_a_worker_that_buries_it(
    mail: Line, server: Server, garbage: bytes
) -> None:
    delay(mail, "a")
    is_due(server, "a")
    server.cli("HSET", keys.delayed("mail"), "a", garbage)
    assert mail.look("a").state is JobState.READY
    assert mail.promote().moved == 1
    ((_, fields),) = mail.run(fetch.read("mail", WORKER, 1, 0))
    assert fields[:2] == [b"a", garbage]
    assert mail.look("a").enqueued_ms is not None
    assert problems(server) == []


def test_members_that_are_nothing(mail: Line, server: Server) -> None:
    delay(mail, "a")
    is_due(server, "a")
    server.cli("ZADD", keys.due("mail"), "-inf", "", 500, "dnobody", 1.5, "\xff\x00", 2000, "d")
    assert mail.promote().moved == 1
    assert waiting(server) == ["a"]
    assert {letter for letter, _ in due_soon(server)} == {"", "ÿ"}


@pytest.mark.parametrize("key", [keys.due, keys.delayed, keys.index, keys.jobs])
def test_a_wrong_type_stops_it_before_anything_is_moved(
    mail: Line, server: Server, key: object
) -> None:
    delay(mail, "a", queue="mail high")
    is_due(server, "a")
    assert callable(key)
    server.cli("SET", key("mail"), "garbage")
    before = everything(server)
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mail.promote()
    assert everything(server) == before


def test_a_line_that_takes_no_more_keeps_its_jobs_and_stops_no_other(
    mail: Line, server: Server
) -> None:
    server.cli("XADD", keys.jobs("mail high"), LAST, "stranger", "x")
    delay(mail, "a", "c", queue="mail high")
    is_due(server, "a", "c")
    with pytest.raises(StoreError):
        mail.promote()
    delay(mail, "b")
    is_due(server, "b")
    assert mail.promote().moved == 1
    assert waiting(server) == ["b"]
    assert mail.look("a").state is JobState.READY
    server.cli("DEL", keys.jobs("mail high"))
    assert mail.promote().moved == 2
    assert problems(server) == []


def test_a_full_redis_promotes_and_starts(mail: Line, server: Server) -> None:
    delay(mail, "a", "b", "c")
    is_due(server, "a", "c")
    replaceable(server, "b")
    server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        assert mail.cancel("c") == manage.CANCELLED_IT
        assert mail.promote().moved == 1
        assert ids(mail.read()) == ["a"]
        assert ids(mail.claim()) == ["b"]
    finally:
        server.cli("CONFIG", "SET", "maxmemory", "0")
    assert problems(server) == []


def test_times_that_somebody_deleted_are_given_again(line: Line, server: Server) -> None:
    delay(line, *(f"job{number}" for number in range(20)))
    replaceable(server, "job7")
    delay(line, "timed")
    delay(line, "lost")
    server.cli("DEL", keys.due("mail"))
    server.cli("ZADD", keys.due("mail"), 9e13, "dtimed")
    server.cli("HDEL", keys.index("mail"), "lost")
    met, after = 0, "0"
    while True:
        after, some = line.run(upkeep.remind_delayed("mail", after, 7))
        met += some
        if after == "0":
            break
    assert met == 21
    assert line.promote().moved == 20
    assert ids(line.claim()) == ["job7"]
    assert line.look("timed").state is JobState.DELAYED
    assert problems(server) == []


# ---------------------------------------------------------------------------- replaceable


def test_a_replaceable_job_becomes_an_entry_when_a_worker_takes_it(
    line: Line, server: Server
) -> None:
    delay(line, "a", queue="mail low")
    delay(line, "later")
    seen = line.look("a")
    replaceable(server, "a")
    assert line.promote().ready == "q"
    assert line.look("a").state is JobState.READY
    assert (line.count().ready, line.count().delayed) == (1, 1)
    assert problems(server) == []
    assert line.claim(kinds=fetch.SUSPECT) == [], "workers that run one alone take only such"
    claimed = line.run(fetch.claim("mail", WORKER, 5, fetch.ANY))
    (held,) = claimed.held
    assert (held.count, held.history) == (1, None)
    assert held.fields is not None
    assert held.fields[:2] == [b"a", CALL + b"a"]
    more = {"first": f"{seen.enqueued_ms}-0", "ready": "1000", "line": "l"}
    assert pairs(held.fields[2:]) == fields_of(server, line.retries, "a") == more
    assert delivered(server, line.retries, held.entry) == (WORKER, 1)
    assert line.look("a").state is JobState.RUNNING
    assert line.look("a").attempt == 1
    assert problems(server) == []
    (attempt,) = line.mine(line.retries)
    assert line.finish(attempt)
    assert problems(server) == []


def test_replaceable_jobs_and_retries_come_in_the_order_of_their_times(
    mail: Line, server: Server
) -> None:
    for name in "abcdef":
        if name in "bdf":
            delay(mail, name)
            replaceable(server, name)
        else:
            assert mail.fail(mail.start(name))
    for at, name in enumerate("fedcba", 1):
        where = server.cli("HGET", keys.index("mail"), name).decode()
        member = "q" + name if where == "q" else "?" + where[1:]
        server.cli("ZADD", keys.due("mail"), "XX", at, member)
    assert ids(mail.claim(4)) == ["f", "e", "d", "c"]
    assert problems(server) == []
    assert ids(mail.claim(4)) == ["b", "a"]
    assert problems(server) == []


def test_a_strangers_entry_in_front_is_parked(mail: Line, server: Server) -> None:
    delay(mail, "a", "b")
    replaceable(server, "a")
    replaceable(server, "b")
    server.cli("XADD", mail.retries, "*", "stranger", "x")
    assert ids(mail.claim(2)) == ["a", "b"]
    assert sorted(pending(server, mail.retries).values()) == ["parked", WORKER, WORKER]
    (stranger,) = mail.claim(5)
    assert stranger.job_id == b"stranger"


def test_a_replaceable_job_that_is_gone_or_garbage(mail: Line, server: Server) -> None:
    delay(mail, "gone", "moved", "garbage")
    for name in ("gone", "moved", "garbage"):
        replaceable(server, name)
    server.cli("HDEL", keys.delayed("mail"), "gone")
    server.cli("HSET", keys.index("mail"), "moved", "j1-1")
    server.cli("HSET", keys.delayed("mail"), "garbage", "garbage")
    (held,) = mail.run(fetch.claim("mail", WORKER, 5, keys.KINDS)).held
    assert held.fields is not None
    assert held.fields[:2] == [b"garbage", b"garbage"]
    assert due_soon(server) == []
    assert mail.look("gone").state is None


def test_retries_that_take_no_more_keep_a_replaceable_job(mail: Line, server: Server) -> None:
    delay(mail, "a")
    replaceable(server, "a")
    assert mail.fail(mail.start("b"))
    server.cli("XADD", mail.retries, LAST, "stranger", "x")
    assert ids(mail.claim(2)) == ["b"]
    with pytest.raises(StoreError):
        mail.claim(2)
    assert mail.look("a").state is JobState.READY
    assert mail.cancel("a") == manage.CANCELLED_IT


def test_it_needs_a_group(mail: Line, server: Server) -> None:
    delay(mail, "a")
    replaceable(server, "a")
    server.cli("XGROUP", "DESTROY", mail.retries, "jobq")
    before = everything(server)
    with pytest.raises(StoreError, match="NOGROUP"):
        mail.claim()
    assert everything(server) == before
    mail.run(upkeep.regroup("mail"))
    assert ids(mail.claim()) == ["a"]


# ---------------------------------------------------------------------------- at the desk


@pytest.mark.parametrize("letter", ["d", "q"])
def test_a_delayed_job_is_cancelled_at_once(line: Line, server: Server, letter: str) -> None:
    delay(line, "a", "b")
    if letter == "q":
        replaceable(server, "a")
        server.cli("HSET", keys.history("mail"), "a", "a retry was replaced")
    assert line.cancel("a") == manage.CANCELLED_IT
    assert line.cancel("a") == manage.NOT_WAITING
    assert line.look("a").state is JobState.CANCELLED
    assert line.run(inspect.result("mail", "a")) == CANCELLED
    assert line.count().totals["cancelled"] == 1
    is_due(server, "b")
    line.promote()
    assert ids(line.read(5)) == ["b"]
    assert problems(server) == []


def test_an_id_of_ones_own_is_taken_while_the_job_is_delayed(mail: Line, server: Server) -> None:
    delay(mail, "a")
    add = enqueue.enqueue_unique("mail", "a", CALL + b"a")
    assert not mail.run(add)
    is_due(server, "a")
    mail.promote()
    assert not mail.run(add)
    assert mail.settle(mail.read()) == []
    assert mail.run(add)
    assert problems(server) == []


def test_what_was_given_back_and_waits_is_delayed(mail: Line, server: Server) -> None:
    """As a job that snoozes."""
    attempt = mail.start("a")
    assert mail.release(attempt, delay=600.0)
    seen = mail.look("a")
    assert seen.state is JobState.DELAYED
    assert seen.kind == fetch.SUSPECT
    assert seen.due_ms is not None
    assert mail.fail(mail.start("b"), delay=600.0)
    assert mail.look("b").state is JobState.RETRYING
    assert problems(server) == []


def test_what_is_held_stands_behind_everything(mail: Line, server: Server) -> None:
    """Thousands of jobs of a paused function are in nobody's way."""
    assert mail.fail(mail.start("a"), delay=keys.HELD_MS / 1000, kind=fetch.HELD)
    assert mail.promote().next_due_ms is None
    assert mail.run(fetch.claim("mail", WORKER, 1, fetch.ANY)).next_due is None
    seen = mail.look("a")
    assert (seen.kind, seen.due_ms) == (fetch.HELD, None)
    counted = mail.count()
    assert (counted.ready, counted.held, counted.retrying) == (1, 1, 0)
    delay(mail, "b")
    assert mail.promote().next_due_ms is not None
    assert mail.cancel("a") == manage.CANCELLED_IT
    assert problems(server) == []


def test_workers_are_not_told_of_delayed_jobs(mail: Line) -> None:
    """They come into a stream, which ends every wait; a retry does not."""
    delay(mail, "a", "b", ms=10_000)
    claimed = mail.run(fetch.claim("mail", WORKER, 1, fetch.ANY))
    assert claimed.next_due is None
    assert mail.fail(mail.start("c"), delay=20.0)
    claimed = mail.run(fetch.claim("mail", WORKER, 1, fetch.ANY))
    assert claimed.next_due is not None
    assert 10_000 < claimed.next_due <= 20_000


def test_a_lost_group_leaves_delayed_jobs_alone(mail: Line, server: Server) -> None:
    delay(mail, "a", "b", "c", queue="mail high")
    is_due(server, "a")
    mail.promote()
    mail.run(upkeep.regroup("mail"))
    high = Line(mail.run, "mail high")
    (attempt,) = high.read()
    for stream in (mail.jobs, mail.retries, high.jobs):
        server.cli("XGROUP", "DESTROY", stream, "jobq")
    mail.run(upkeep.regroup("mail"))
    assert problems(server) == []
    assert high.read() == [attempt], "it had not finished"
    assert high.settle([attempt]) == []
    server.cli("XADD", high.jobs, "*", "a", call_of(attempt))  # as one that lingers
    server.cli("XGROUP", "DESTROY", high.jobs, "jobq")
    assert mail.run(upkeep.regroup("mail")) == 1
    is_due(server, "b", "c")
    mail.promote()
    assert ids(high.read(5)) == ["b", "c"]
    assert problems(server) == []
