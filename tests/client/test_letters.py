"""Dead letters: found, brought back, removed, edited, taken elsewhere."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement

import pytest
from redis import Redis

from jobq.client.desk import Desk
from jobq.client.filters import NO_GROUP, Attempts, Filter
from jobq.client.letters import MOST_NAMED, Letters
from jobq.client.rows import moment
from jobq.client.sources import is_meant, position
from jobq.core.fingerprint import OTHERS
from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.errors import StoreUnavailable
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import inspect
from jobq.store.ops.inspect import DeadEntry
from jobq.store.sync import Store
from tests.cli.burying import TRACEBACK, Undertaker, dead
from tests.support.proxy import Proxy


@pytest.fixture
def undertaker(redis_url: str) -> Iterator[Undertaker]:
    one = Undertaker(redis_url)
    yield one
    one.close()


@pytest.fixture
def letters(undertaker: Undertaker) -> Letters:
    return Letters(undertaker.store, undertaker.codec)


def test_an_empty_redis(letters: Letters) -> None:
    assert list(letters.rows()) == []
    assert letters.letter("x") is None
    assert letters.select().count == 0
    assert letters.retry(letters.select()).done == 0
    assert letters.retry(["x"]).missing == ("x",)


def test_a_letter(letters: Letters, undertaker: Undertaker) -> None:
    before = letters.now()
    job_id = undertaker.dead("shop.send", "ada", kwargs={"at": datetime(2026, 1, 1, tzinfo=UTC)})
    letter = letters.letter(job_id)
    assert letter == next(letters.rows())
    assert letter is not None
    assert letter.call.args == ("ada",)
    assert letter.call.kwargs == {"at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert letter.enqueued_at == moment(1_700_000_000_000)
    assert before <= letter.failed_at <= letters.now()
    assert [one.attempt for one in letter.history] == [1, 2, 3, 4]
    assert letter.history[0].at == moment(1_700_000_001_000)
    assert letters.letter(job_id, "other") is None


def test_letters_are_merged_newest_first_whatever_the_page(
    letters: Letters, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobq.client.walking.PAGE", 4)
    monkeypatch.setattr("jobq.client.walking.LEAST_PAGE", 2)
    made = []
    for number in range(23):
        made.append(undertaker.dead(queue=f"q{number % 3 * number % 2}"))
        undertaker.let_the_clock_tick()
    assert [one.id for one in letters.rows()] == made[::-1]
    for limit in (0, 1, 2, 3, 7, 23, 24):
        assert [one.id for one in letters.rows(limit=limit)] == made[::-1][:limit]


def test_reads_come_in_pages(letters: Letters, undertaker: Undertaker, redis: Redis) -> None:
    for _ in range(250):
        undertaker.dead()
    redis.config_resetstat()
    assert len(list(letters.rows())) == 250
    stats = redis.info("commandstats")
    assert stats["cmdstat_xrevrange"]["calls"] == 3
    assert "cmdstat_keys" not in stats
    redis.config_resetstat()
    next(letters.rows())
    assert redis.info("commandstats")["cmdstat_xrevrange"]["calls"] == 1


def test_redis_is_lost_between_two_pages(undertaker: Undertaker, proxy: Proxy) -> None:
    for _ in range(101):
        undertaker.dead()
    store = Store(lambda: parse_url(proxy.url), patience=0.05)
    rows = Letters(store, undertaker.codec).rows(Filter(queue="mail"))
    next(rows)
    proxy.refuse()
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        list(rows)
    store.close()


@pytest.mark.parametrize("by_id", [True, False])
def test_retry(letters: Letters, undertaker: Undertaker, *, by_id: bool) -> None:
    ids = [undertaker.dead("shop.send", number) for number in range(3)]
    changes = letters.retry(ids if by_id else letters.select())
    assert (changes.done, changes.missing, changes.refused) == (3, (), ())
    assert list(letters.rows()) == []
    for number, job_id in enumerate(ids):
        job = Desk(undertaker.store, undertaker.codec).job(job_id)
        assert job is not None
        assert (job.state, job.attempt, len(job.history)) == (JobState.READY, 0, 4)
        assert job.call is not None
        assert job.call.args == (number,)
        assert job.result is None


def test_a_job_that_dies_again_is_not_retried_again(
    letters: Letters, undertaker: Undertaker
) -> None:
    for _ in range(3):
        undertaker.dead()
    selection = letters.select()
    late = undertaker.dead()
    assert letters.retry(selection).done == 3
    assert [one.id for one in letters.rows()] == [late]
    undertaker.bury()
    assert letters.purge(selection).done == 0


def test_what_was_removed_meanwhile_is_no_matter(letters: Letters, undertaker: Undertaker) -> None:
    ids = [undertaker.dead() for _ in range(2)]
    selection = letters.select()
    assert letters.purge([ids[0]]).done == 1
    assert letters.purge(selection).done == 1
    assert letters.purge(ids).missing == tuple(ids)


def test_unreadable_letters_are_refused_and_the_rest_is_done(
    letters: Letters, undertaker: Undertaker
) -> None:
    letter = dead("CallUnreadable", "it is garbage", readable=False)
    for _ in range(MOST_NAMED + 5):
        undertaker.dead(call=b"\xc1", letter=letter)
    good = undertaker.dead()
    changes = letters.retry(letters.select())
    assert (changes.done, changes.refusals) == (1, MOST_NAMED + 5)
    assert len(changes.refused) == MOST_NAMED
    assert changes.refused[0].why == "it is garbage"
    assert Desk(undertaker.store, undertaker.codec).job(good, "mail") is not None
    assert letters.purge(letters.select()).done == MOST_NAMED + 5


# ---------------------------------------------------------------------------- groups and filters


def various(undertaker: Undertaker, number: int = 40) -> None:
    """Bury jobs of all kinds in two queues; some stand in no group, some in that of the others."""
    for at in range(number):
        error = ("KeyError", "shop.errors.Declined", "OSError")[at % 3]
        text = TRACEBACK.replace("in send", f"in send_{at % 5}")
        letter = Letter(
            "attempts used up",
            Failure(error, f"no User {at % 4}", text),
            at % 6,
            1_700_000_000_000,
            History(),
        )
        undertaker.dead(
            f"shop.job_{at % 4}",
            at,
            queue="mail" if at % 3 else "bulk",
            letter=letter.encode() if at % 7 == 0 else letter,
        )
        if at % 10 == 9:
            undertaker.let_the_clock_tick()


def everything(redis: Redis) -> list[tuple[str, DeadEntry]]:
    """Read all dead letters, the newest first, past everything that is tested here."""
    found = [
        (queue, one)
        for queue in ("bulk", "mail")
        for one in dead_entries(redis.xrevrange(keys.dead(queue)))
    ]
    return sorted(found, key=lambda pair: position(pair[1].entry), reverse=True)


def dead_entries(rows: object) -> list[DeadEntry]:
    assert isinstance(rows, list)
    return inspect.dead_entries(
        [[entry, [word for pair in fields.items() for word in pair]] for entry, fields in rows]
    )


def check_groups(redis: Redis, queue: str) -> None:
    """See that the groups of a queue are those of its dead letters."""
    members: Counter[str] = Counter()
    for member in redis.zrange(keys.grouped(queue), 0, -1):
        assert isinstance(member, bytes)
        members[member.decode().split(" ")[0]] += 1
    counts = {}
    for name, value in redis.hgetall(keys.groups(queue)).items():
        assert isinstance(name, bytes)
        assert isinstance(value, bytes)
        counts[name.decode()] = int(value.split(b" ")[0])
    assert counts == dict(members)
    with_group = [one for where, one in everything(redis) if where == queue and one.group]
    assert sum(counts.values()) == len(with_group)
    named = Counter(one.group for one in with_group)
    assert all(counts[name] <= named[name] for name in counts if name != OTHERS)
    assert redis.scard(keys.redated(queue)) == sum(
        bool(one.at) for where, one in everything(redis) if where == queue
    )


def filters(moments: Sequence[datetime], groups: Sequence[str]) -> Iterator[Filter]:
    """Yield filters of all kinds, alone and together."""
    early, late = moments[len(moments) // 4], moments[-3]
    parts: list[dict[str, object]] = [
        {},
        {"job": "shop.job_1"},
        {"job": "shop.*"},
        {"error": "Declined"},
        {"error": "shop.errors.*"},
        {"message": "no user 2"},
        {"attempts": Attempts.parse(">3")},
        {"since": early},
        {"until": late},
        {"since": early, "until": late},
        {"since": timedelta(days=1)},
        {"until": timedelta(days=1)},
    ]
    parts += [{"group": one} for one in groups]
    for one, other in combinations_with_replacement(parts, 2):
        for queue in (None, "mail"):
            yield Filter(**{**one, **other}, queue=queue, scan=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [4, pytest.param(1000, marks=pytest.mark.slow)])
def test_filters_find_what_reading_everything_finds(
    letters: Letters,
    undertaker: Undertaker,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr("jobq.store.ops.settle.MOST_GROUPS", most)
    monkeypatch.setattr("jobq.client.walking.PAGE", 7)
    various(undertaker)
    for at, (queue, one) in enumerate(everything(redis)):
        if at % 5 == 1:
            letters.purge([one.job_id], queue)
        elif at % 5 == 2 and at < 20:
            letters.retry([one.job_id], queue)
        elif at % 5 == 3:
            found = letters.find(one.job_id, queue)
            assert found is not None
            assert letters.edit(found, lambda args, kwargs: ([*args, "edited"], kwargs))
        for name in ("mail", "bulk") if at % 10 == 0 else ():
            check_groups(redis, name)
    now = letters.now()
    every = everything(redis)
    moments = sorted(moment(one.failed_ms) for _, one in every)
    names = {OTHERS, NO_GROUP, "nope", *(one.group for _, one in every[:4] if one.group)}
    seen = set()
    for wanted in filters(moments, sorted(names - {OTHERS})):
        expected = [
            (queue, one.entry)
            for queue, one in every
            if wanted.queue in {None, queue} and is_meant(wanted.at(now), one)
        ]
        assert [(queue, one.entry) for queue, one in letters.walk(wanted)] == expected, wanted
        selection = letters.select(wanted)
        assert (selection.count, selection.cut) == (len(expected), False), wanted
        assert [one.dead.entry for one in letters.walk(wanted, 2)] == [
            entry for _, entry in expected[:2]
        ]
        seen.add(len(expected))
    assert len(seen) > 10, "the filters differ"


def test_groups_of_letters(letters: Letters, undertaker: Undertaker, redis: Redis) -> None:
    various(undertaker)
    rows = letters.samples(letters.groups())
    assert [one.count for one in rows] == sorted((one.count for one in rows), reverse=True)
    assert sum(one.count for one in rows) == 40
    assert {one.queue for one in rows} == {"mail", "bulk"}
    for one in rows:
        meant = list(letters.rows(Filter(queue=one.queue, group=one.fingerprint, scan=None)))
        assert len(meant) == one.count
        if one.fingerprint != NO_GROUP:
            assert one.sample == meant[0].id
            assert (one.job, one.error) == (meant[0].call.name, meant[0].failure.error)
            assert one.message in {letter.failure.message for letter in meant}
            assert one.last_at == meant[0].failed_at
            assert one.first_at == meant[-1].failed_at
    (row,) = letters.groups(Filter(queue="mail", group=rows[0].fingerprint))
    assert row.count == rows[0].count
    assert {one.job for one in letters.groups(Filter(job="*_2"))} == {"shop.job_2"}
    assert letters.groups(Filter(since=letters.now() + timedelta(days=1))) == []


def test_a_scan_is_bounded_and_says_so(letters: Letters, undertaker: Undertaker) -> None:
    various(undertaker, 30)
    wanted = Filter(message="USER", scan=10)
    walk = letters.walk(wanted)
    assert len(list(walk)) == 10
    assert (walk.walked, walk.cut) == (10, True)
    selection = letters.select(wanted)
    assert (selection.count, selection.walked, selection.cut) == (10, 10, True)
    assert letters.purge(selection).done == 10
    assert letters.select(Filter(message="user", scan=20)).count == 20
    assert not letters.select(Filter(message="user", scan=20)).cut


def test_garbage_in_the_index_of_groups(
    letters: Letters, undertaker: Undertaker, redis: Redis
) -> None:
    ids = [undertaker.dead() for _ in range(3)]
    (row,) = letters.groups()
    alike = Filter(group=row.fingerprint)
    noise = (
        f"{row.fingerprint} zzz",
        f"{row.fingerprint} {'9' * 15}-{'9' * 19}",
        "\xff",
        "x" * 999,
    )
    redis.zadd(keys.grouped("mail"), dict.fromkeys(noise, 0))
    redis.hset(keys.groups("mail"), mapping={"a": "", "b": "1 2", "c": f"{'9' * 5000} 1 1 x"})
    redis.hset(keys.groups("mail"), "d", b"1 1 99999999999999999 \xc1")
    assert [one.id for one in letters.rows(alike)] == ids[::-1]
    assert letters.purge([ids[0]]).done == 1
    assert {one.fingerprint for one in letters.groups()} == {row.fingerprint, "d"}
    for key in (keys.groups("mail"), keys.grouped("mail")):
        redis.delete(key)
        redis.set(key, "of another type")
    assert len(list(letters.rows(Filter(job="shop.send")))) == 2, "it reads them all"
    assert letters.purge([ids[1]]).done == 1
    assert letters.retry([ids[2]]).done == 1
    undertaker.bury()
    assert letters.select().count == 1
