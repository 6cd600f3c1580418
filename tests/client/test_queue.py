"""`app.queue`: pausing, and what is done to the jobs of a queue that wait."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from jobq import JobQ
from jobq.client.sweep import Sweep
from jobq.core.head import read_head
from jobq.core.outcome import Failure
from jobq.core.signing import make_signer
from jobq.errors import ConfigError, JobCancelled, OptionError
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import fetch, inspect, pause, settle
from jobq.store.ops.settle import Attempt
from jobq.store.sync import Store
from jobq.store.wire import Op
from tests.client.hand import CONSUMER, Hand, Taken
from tests.store.line import problems
from tests.support.server import Server

T = TypeVar("T")

KEYS: dict[str, str | bytes] = {"k": "a secret of sixteen bytes"}


def filled(app: JobQ, hand: Hand) -> dict[str, str]:
    """Fill the queue ``mail`` with a job of each kind; returns their ids by what they are."""

    def send(**options: object) -> str:
        return app.options(queue="mail", **options).send("mail.send", 1).id  # type: ignore[arg-type]

    ids = {}
    for what in ("running", "dead", "retry", "held"):
        ids[what] = send()
        (taken,) = hand.take("mail")
        if what == "dead":
            hand.bury(taken, Failure("ValueError", "no", ""))
        elif what == "retry":
            attempt = attempt_of(taken)
            op = settle.retry(
                attempt, taken.call, delay=600.0, kind=fetch.SYNC, history=b"\x91\x01"
            )
            assert hand.store.run(op)
        elif what == "held":
            op = settle.release(
                attempt_of(taken), taken.call, delay=pause.HELD_FOR, kind=fetch.HELD
            )
            assert hand.store.run(op)
    ids["delayed"] = send(delay="1h")
    ids["high"] = send(priority="high")
    ids["low"] = send(priority="low", delay="2h")
    ids["ready"] = send()
    ids["other"] = app.options(queue="mail").send("mail.other", 2).id
    return ids


def attempt_of(taken: Taken) -> Attempt:
    more = (b"first", taken.entry)
    return Attempt("mail", CONSUMER, taken.entry, taken.job_id.encode(), 0, more)


STAY = {"running", "dead"}


def live(hand: Hand, server: Server, queue: str) -> set[str]:
    """Return the ids in a queue, whose keys must agree with each other."""
    assert problems(server, queue) == []
    return {one.decode() for one in server.cli("HKEYS", f"jobq:{{{queue}}}:index")}


def test_pausing(app: JobQ) -> None:
    queue = app.queue("mail")
    assert (queue.is_paused(), queue.pauses()) == (False, ())
    queue.pause(for_="10m", reason="the host is down")
    (one,) = queue.pauses()
    assert one.until is not None
    assert (one.job, one.reason, one.until - one.since) == (
        None,
        "the host is down",
        timedelta(minutes=10),
    )
    assert "@" in one.by
    send = app.job(name="mail.send")(print)
    until = one.since + timedelta(hours=1)
    queue.pause(send, until=until, by="me")
    assert [(one.job, one.by, one.until) for one in queue.pauses()][1] == ("mail.send", "me", until)
    assert queue.resume()
    assert not queue.resume()
    assert queue.is_paused(send)
    assert not queue.is_paused("mail.other")
    assert not queue.is_paused()
    assert queue.resume("mail.send")
    assert repr(queue) == "<Queue mail>"


async def test_the_async_twins(app: JobQ) -> None:
    async with app:
        queue = app.queue("mail")
        await queue.apause(reason="closed")
        assert [one.reason for one in await queue.apauses()] == ["closed"]
        assert await queue.aresume()
        await app.options(queue="mail").asend("mail.send")
        assert await queue.asize() == 1
        assert await queue.adrain(0) == 0
        assert queue.is_paused()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"for_": "1m", "until": datetime(2100, 1, 1, tzinfo=UTC)}, "both given"),
        ({"for_": 0}, "for_ is 0"),
        ({"for_": float("nan")}, "for_ is"),
        ({"until": datetime(2100, 1, 1)}, "until is 2100.*no time zone"),  # noqa: DTZ001
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "over already"),
        ({"job": ""}, "job is"),
        ({"job": 5}, "job is 5"),
        ({"reason": "x" * 1000}, "reason has 1000"),
    ],
)
def test_a_pause_that_cannot_be_is_refused(app: JobQ, words: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        app.queue("mail").pause(**words)  # type: ignore[arg-type]
    assert app.queue("mail").pauses() == ()


def test_other_arguments_are_checked(app: JobQ) -> None:
    with pytest.raises(OptionError):
        app.queue("no spaces")
    queue = app.queue("mail")
    with pytest.raises(OptionError, match="states is"):
        queue.purge(states="ready")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="states is"):
        queue.purge(states=["dead"])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="older is"):
        queue.purge(older=-1)
    with pytest.raises(OptionError, match="this queue"):
        queue.move("mail")


def test_purge_cancels_what_waits(app: JobQ, hand: Hand, server: Server) -> None:
    ids = filled(app, hand)
    queue = app.queue("mail")
    assert queue.size() == len(ids) - 1
    assert queue.purge(older="1h") == 0
    assert queue.purge(job="mail.other") == 1
    with pytest.raises(JobCancelled):
        app.handle(ids["other"], "mail").result(0)
    assert queue.purge(states=["delayed"]) == 2
    assert queue.purge(states=["retrying"]) == 1
    assert queue.purge() == 3
    assert live(hand, server, "mail") == {ids[what] for what in STAY}
    # The one that runs was not even marked: it can fail and be retried.
    assert server.cli("HLEN", "jobq:{mail}:cancels") == 0
    assert app.store.run(inspect.count("mail")).totals["cancelled"] == 7


def test_move_takes_everything_along(app: JobQ, hand: Hand, server: Server) -> None:
    ids = filled(app, hand)
    before = {what: hand.store.run(inspect.look("mail", job_id)) for what, job_id in ids.items()}
    moved = app.queue("mail").move("bulk")
    assert (moved.done, moved.refusals) == (len(ids) - 2, 0)
    assert live(hand, server, "mail") == {ids[what] for what in STAY}
    assert live(hand, server, "bulk") == {ids[what] for what in ids if what not in STAY}
    for what, job_id in ids.items():
        if what in STAY:
            continue
        old, new = before[what], hand.store.run(inspect.look("bulk", job_id))
        assert (new.state, new.call, new.attempt, new.enqueued_ms, new.history) == (
            old.state,
            old.call,
            old.attempt,
            old.enqueued_ms,
            old.history,
        ), what
        if what in {"retry", "delayed", "low"}:
            assert new.due_ms == old.due_ms
    assert app.store.run(inspect.look("bulk", ids["high"])).where[:1] == "h"
    assert app.queue("mail").move("bulk").done == 0


def test_move_signs_anew_or_refuses(server: Server, hand: Hand, app: JobQ) -> None:
    signer = make_signer(KEYS, accept_unsigned=False, what="keys")
    assert signer is not None
    with JobQ(server.url, signing_keys=KEYS) as signed:
        good = signed.options(queue="mail").send("mail.send", 1).id
        with pytest.raises(ConfigError, match="set JOBQ_SIGNING_KEYS"):
            app.queue("mail").move("bulk")
        bad = app.options(queue="mail").send("mail.send", 2).id
        moved = signed.queue("mail").move("bulk")
    assert moved.done == 1
    assert [job_id for job_id, _ in moved.refused] == [bad]
    assert live(hand, server, "mail") == {bad}
    (taken,) = hand.take("bulk")
    assert read_head(signer.open("bulk", good.encode(), taken.call)).name == "mail.send"


def test_another_job_of_the_same_id_stays_where_it_is(
    app: JobQ, hand: Hand, server: Server
) -> None:
    for queue in ("mail", "bulk"):
        app.options(queue=queue, job_id="mine").send("mail.send", queue)
    moved = app.queue("mail").move("bulk")
    assert (moved.done, moved.refused[0][0]) == (0, "mine")
    assert live(hand, server, "mail") == live(hand, server, "bulk") == {"mine"}
    (taken,) = hand.take("bulk")
    hand.succeed(taken)
    app.store.run(Op(("ZADD", "jobq:{mail}:due", "XX", 0, _only_member(server)), int))
    assert app.queue("mail").move("bulk").refusals == 1
    assert live(hand, server, "mail") == {"mine"}


def _only_member(server: Server) -> bytes:
    (member,) = server.cli("ZRANGE", "jobq:{mail}:due", 0, -1)
    return bytes(member)


class Killed(BaseException):
    """The process died."""


class Dying(Store):
    """A store whose process dies at one of its operations, before or after Redis did it."""

    def __init__(self, url: str, at: int, *, done: bool) -> None:
        super().__init__(lambda: parse_url(url))
        self.left = at
        self._done = done

    def run(self, op: Op[T]) -> T:
        self.left -= 1
        if self.left == 0 and not self._done:
            raise Killed
        answer = super().run(op)
        if self.left == 0:
            raise Killed
        return answer

    def run_each(self, ops: Iterable[Op[T]]) -> Iterator[T]:
        for op in ops:
            yield self.run(op)


@pytest.mark.parametrize("done", [False, True])
def test_a_mover_that_dies_at_any_step_loses_and_repeats_nothing(
    app: JobQ, hand: Hand, server: Server, done: bool
) -> None:
    at = 1
    while True:
        server.cli("FLUSHALL")
        app.close()
        ids = filled(app, hand)
        expected = {job_id for what, job_id in ids.items() if what not in STAY}
        store = Dying(server.url, at, done=done)
        sweep = Sweep(store, None)
        try:
            sweep.move(sweep.choose("mail"), "bulk")
        except Killed:
            both = Counter(live(hand, server, "mail")) + Counter(live(hand, server, "bulk"))
            assert expected <= set(both), f"died at {at}: a job is lost"
            # What is aside comes back where it was, by itself, within the minute.
            if both.total() > len(set(both)):
                assert _nobody_starts_it_twice(server, both)
        finally:
            store.close()
        app.queue("mail").move("bulk")
        assert live(hand, server, "bulk") == expected, f"died at {at}"
        assert live(hand, server, "mail") == {ids[what] for what in STAY}, f"died at {at}"
        if store.left > 0:
            break
        at += 1
    assert at > 25


def _nobody_starts_it_twice(server: Server, both: Counter[str]) -> bool:
    """Tell whether of what is in both queues, that in the first one is out of reach for now."""
    now = int(server.cli("TIME")[0]) * 1000
    for job_id in (job_id for job_id, many in both.items() if many > 1):
        where = server.cli("HGET", "jobq:{mail}:index", job_id).decode()
        name = where[1:] or job_id
        letters = "d" if where == "d" else keys.KINDS
        scores = [server.cli("ZSCORE", "jobq:{mail}:due", one + name) for one in letters]
        (score,) = [float(one) for one in scores if one is not None]
        if not now + 50_000 < score:
            return False
    return True
