"""Looking at and managing what is in Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest
from redis import Redis

from jobq.client.desk import MOST_NAMED, Desk
from jobq.client.rows import moment
from jobq.core.job import JobState
from jobq.errors import StoreError, StoreUnavailable
from jobq.store.address import parse_url
from jobq.store.ops import control, settle, upkeep
from jobq.store.ops.control import Command
from jobq.store.sync import Store
from tests.cli.burying import Undertaker, dead
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import wait_until


@pytest.fixture
def undertaker(redis_url: str) -> Iterator[Undertaker]:
    one = Undertaker(redis_url)
    yield one
    one.close()


@pytest.fixture
def desk(undertaker: Undertaker) -> Desk:
    return Desk(undertaker.store, undertaker.codec)


def cancelled(desk: Desk, job_id: str, queue: str | None = None) -> JobState | None:
    """Cancel a job, and return the state that it is in then."""
    row = desk.cancel(job_id, queue)
    return None if row is None else row.state


def test_an_empty_redis(desk: Desk) -> None:
    assert desk.queues() == []
    assert desk.workers() == []
    assert desk.job("x") is None
    assert desk.job("x", "mail") is None
    assert desk.cancel("x") is None
    assert list(desk.letters()) == []
    assert desk.letter("x") is None
    assert desk.select().count == 0
    assert desk.retry(desk.select()).done == 0
    assert desk.retry(["x"]).missing == ("x",)


def test_times_are_those_of_redis(desk: Desk, undertaker: Undertaker, redis: Redis) -> None:
    seconds, _ = redis.time()
    undertaker.enqueue()
    job = next(iter(desk.queues()))
    assert job.oldest is not None
    assert 0 <= job.oldest < 60
    assert desk.now().tzinfo is UTC
    assert abs(desk.now().timestamp() - seconds) < 60


def test_rows_are_frozen(desk: Desk, undertaker: Undertaker) -> None:
    undertaker.dead()
    [letter] = desk.letters()
    for row, field in ((letter, "id"), (letter.call, "name"), (desk.queues()[0], "dead")):
        with pytest.raises(FrozenInstanceError):
            setattr(row, field, "other")


def test_a_letter(desk: Desk, undertaker: Undertaker) -> None:
    before = desk.now()
    job_id = undertaker.dead("shop.send", "ada", kwargs={"at": datetime(2026, 1, 1, tzinfo=UTC)})
    letter = desk.letter(job_id)
    assert letter == next(desk.letters())
    assert letter is not None
    assert letter.call.args == ("ada",)
    assert letter.call.kwargs == {"at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert letter.enqueued_at == moment(1_700_000_000_000)
    assert before <= letter.failed_at <= desk.now()
    assert [one.attempt for one in letter.history] == [1, 2, 3, 4]
    assert letter.history[0].at == moment(1_700_000_001_000)
    assert desk.letter(job_id, "other") is None


def test_letters_are_merged_newest_first_whatever_the_page(
    desk: Desk, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobq.client.desk._PAGE", 4)
    monkeypatch.setattr("jobq.client.desk._LEAST_PAGE", 2)
    made = []
    for number in range(23):
        made.append(undertaker.dead(queue=f"q{number % 3 * number % 2}"))
        undertaker.let_the_clock_tick()
    assert [one.id for one in desk.letters()] == made[::-1]
    for limit in (0, 1, 2, 3, 7, 23, 24):
        assert [one.id for one in desk.letters(limit=limit)] == made[::-1][:limit]


def test_reads_come_in_pages(desk: Desk, undertaker: Undertaker, redis: Redis) -> None:
    for _ in range(250):
        undertaker.dead()
    redis.config_resetstat()
    assert len(list(desk.letters())) == 250
    stats = redis.info("commandstats")
    assert stats["cmdstat_xrevrange"]["calls"] == 3
    assert "cmdstat_keys" not in stats
    redis.config_resetstat()
    next(desk.letters())
    assert redis.info("commandstats")["cmdstat_xrevrange"]["calls"] == 1


def test_redis_is_lost_between_two_pages(undertaker: Undertaker, proxy: Proxy) -> None:
    for _ in range(101):
        undertaker.dead()
    store = Store(lambda: parse_url(proxy.url), patience=0.05)
    letters = Desk(store, undertaker.codec).letters("mail")
    next(letters)
    proxy.refuse()
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        list(letters)
    store.close()


@pytest.mark.parametrize("by_id", [True, False])
def test_retry(desk: Desk, undertaker: Undertaker, *, by_id: bool) -> None:
    ids = [undertaker.dead("shop.send", number) for number in range(3)]
    changes = desk.retry(ids if by_id else desk.select())
    assert (changes.done, changes.missing, changes.refused) == (3, (), ())
    assert list(desk.letters()) == []
    for number, job_id in enumerate(ids):
        job = desk.job(job_id)
        assert job is not None
        assert (job.state, job.attempt, len(job.history)) == (JobState.READY, 0, 4)
        assert job.call is not None
        assert job.call.args == (number,)
        assert job.result is None


def test_a_job_that_dies_again_is_not_retried_again(desk: Desk, undertaker: Undertaker) -> None:
    for _ in range(3):
        undertaker.dead()
    selection = desk.select()
    late = undertaker.dead()
    assert desk.retry(selection).done == 3
    assert [one.id for one in desk.letters()] == [late]
    undertaker.bury()
    assert desk.purge(selection).done == 0


def test_what_was_removed_meanwhile_is_no_matter(desk: Desk, undertaker: Undertaker) -> None:
    ids = [undertaker.dead() for _ in range(2)]
    selection = desk.select()
    assert desk.purge([ids[0]]).done == 1
    assert desk.purge(selection).done == 1
    assert desk.purge(ids).missing == tuple(ids)


def test_unreadable_letters_are_refused_and_the_rest_is_done(
    desk: Desk, undertaker: Undertaker
) -> None:
    letter = dead("CallUnreadable", "it is garbage", readable=False)
    for _ in range(MOST_NAMED + 5):
        undertaker.dead(call=b"\xc1", letter=letter)
    good = undertaker.dead()
    changes = desk.retry(desk.select())
    assert (changes.done, changes.refusals) == (1, MOST_NAMED + 5)
    assert len(changes.refused) == MOST_NAMED
    assert changes.refused[0].why == "it is garbage"
    assert desk.job(good, "mail") is not None
    assert desk.purge(desk.select()).done == MOST_NAMED + 5


def test_a_job_is_found_where_it_lives(desk: Desk, undertaker: Undertaker) -> None:
    undertaker.enqueue(queue="a", job_id="same")
    undertaker.succeed(1, queue="a")
    undertaker.enqueue(queue="b", job_id="same")
    job = desk.job("same")
    assert job is not None
    assert (job.queue, job.state) == ("b", JobState.READY)
    assert cancelled(desk, "same") is JobState.CANCELLED
    job = desk.job("same", "a")
    assert job is not None
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result.value == 1
    assert cancelled(desk, "same", "a") is JobState.SUCCEEDED


def test_cancel_says_where_the_job_is(desk: Desk, undertaker: Undertaker) -> None:
    dies = undertaker.dead()
    runs = undertaker.enqueue()
    undertaker.start()
    waits = undertaker.enqueue()
    assert cancelled(desk, dies) is JobState.DEAD
    assert cancelled(desk, runs) is JobState.RUNNING
    assert cancelled(desk, waits) is JobState.CANCELLED
    assert cancelled(desk, waits) is JobState.CANCELLED
    assert cancelled(desk, "nope", "mail") is None


def test_cancel_waits_until_a_running_job_has_ended(desk: Desk, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    attempt, _ = undertaker.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(desk.cancel, job_id, patience=30.0)
        (_, command), *_ = wait_until(
            lambda: undertaker.store.run(control.read("0-0")), "a worker was told"
        )
        assert command == Command(control.CANCEL, job_id, "mail", "j" + attempt.entry.decode())
        assert undertaker.store.run(settle.cancelled(attempt))
        row = asked.result(timeout=20)
    assert row is not None
    assert row.state is JobState.CANCELLED


def test_cancel_does_not_wait_for_ever(desk: Desk, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    undertaker.start()
    row = desk.cancel(job_id, patience=0.05)
    assert row is not None
    assert (row.state, row.worker) == (JobState.RUNNING, "w1")


def test_tell_sees_what_becomes_of_workers(desk: Desk, undertaker: Undertaker) -> None:
    for name in ("a", "b", "c"):
        undertaker.say(name, "running")
    assert desk.tell(["a"], control.DRAIN, ["draining"], 0.05) == {"a": "running"}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(desk.tell, ["b", "c"], control.STOP, ["stopping"], 30.0)
        wait_until(lambda: len(undertaker.store.run(control.read("0-0"))) == 3, "all were told")
        undertaker.say("b", "stopping")
        undertaker.store.run(upkeep.leave("c"))
        assert asked.result(timeout=20) == {"b": "stopping", "c": None}
    told = [command for _, command in undertaker.store.run(control.read("0-0"))]
    assert told == [Command("drain", "a"), Command("stop", "b"), Command("stop", "c")]


def test_a_job_with_a_garbage_result(desk: Desk, redis: Redis, undertaker: Undertaker) -> None:
    undertaker.enqueue(job_id="odd")
    undertaker.succeed(1)
    good = redis.get("jobq:{mail}:result:odd")
    assert isinstance(good, bytes)
    redis.set("jobq:{mail}:result:odd", good[:-1] + b"\xc1", px=60_000)
    job = desk.job("odd", "mail")
    assert job is not None
    assert job.result is not None
    assert job.result.problem.startswith("the result cannot be read")
    redis.set("jobq:{mail}:result:odd", b"\xc1", px=60_000)
    assert desk.job("odd", "mail") is None


def test_an_entry_that_is_gone(desk: Desk, redis: Redis, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    redis.delete("jobq:{mail}:jobs")
    job = desk.job(job_id)
    assert job is not None
    assert job.call is None


def test_moments_that_no_datetime_can_have() -> None:
    assert moment(-1) == moment(0)
    assert moment(1 << 64).year == 9999


def test_wrong_types_are_errors(desk: Desk, server: Server, undertaker: Undertaker) -> None:
    undertaker.enqueue()
    server.cli("SET", "jobq:{mail}:dead", "x")
    for ask in (desk.queues, desk.select, lambda: list(desk.letters())):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            ask()
    server.cli("DEL", "jobq:{mail}:dead")


def test_workers_by_name(desk: Desk, redis_url: str) -> None:
    store = Store(lambda: parse_url(redis_url))
    for name in ("b", "a"):
        store.run(upkeep.beat(name, b"\x81\xa3pid\x05", 60.0))
    store.close()
    rows = desk.workers()
    assert [(one.name, one.pid, one.host, one.started_at) for one in rows] == [
        ("a", 5, "", None),
        ("b", 5, "", None),
    ]
    assert abs((rows[0].seen_at - desk.now()).total_seconds()) < 60
