"""The round of a supervisor: one trip for all its parts, and how long it may rest."""

from collections.abc import Iterator, Sequence

import pytest

from jobq.core.clock import SystemClock
from jobq.errors import StoreError, StoreUnavailable
from jobq.runtime.hello import Hello
from jobq.runtime.rounds import GAP, REWIND, TICK, Part, Promoter, Round
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.upkeep import Upkeep
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import enqueue, fetch, upkeep
from jobq.store.ops.promote import Cursor, Promoted
from jobq.store.sync import Store
from jobq.store.wire import Answers, AnyOp, Op
from tests.store.line import CALL, Line, problems
from tests.support.server import Server


class Clock(SystemClock):
    """Stands still, and can be put forward."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Asking(Part):
    """Asks for so many things, and keeps what it is told."""

    def __init__(self, many: int, *, fails: bool = False) -> None:
        self.many = many
        self.fails = fails
        self.told: Answers = []

    def ops(self) -> list[AnyOp]:
        return [Op(("PING", self.many), str)] * self.many

    def read(self, answers: Answers) -> None:
        self.told = answers
        if self.fails:
            raise ValueError("garbage")


def echo(ops: Sequence[AnyOp]) -> Answers:
    return [op.words[1] for op in ops]


def test_each_part_is_told_what_it_asked_though_another_fails() -> None:
    parts = [Asking(2), Asking(0), Asking(1, fails=True), Asking(3)]
    with pytest.raises(ValueError, match="garbage"):
        Round(parts, echo).run()
    assert [part.told for part in parts] == [[2, 2], [], [1], [3, 3, 3]]


def test_a_redis_that_is_away_is_told_to_nobody() -> None:
    def away(_: Sequence[AnyOp]) -> Answers:
        raise StoreUnavailable("away")

    part = Asking(1, fails=True)
    with pytest.raises(StoreUnavailable):
        Round([part], away).run()
    assert part.told == []


@pytest.mark.parametrize(
    ("nexts", "rest"),
    [
        ([None, None], TICK),
        ([None, 5_000.0], TICK),
        ([1_030.0, 5_000.0], 0.031),
        ([1_000.0], GAP),
        ([900.0], GAP),  # it is due, and the last round had nothing to do for it
        ([0.0, 1_030.0], 0.0),
    ],
)
def test_it_rests_until_the_next_thing_is_due(nexts: list[float | None], rest: float) -> None:
    parts = [Asking(0) for _ in nexts]
    for part, at in zip(parts, nexts, strict=True):
        part.next_ms = at
    assert Round(parts, echo).rest(1_000.0) == pytest.approx(rest)


def test_it_wakes_when_one_of_them_does() -> None:
    parts = [Asking(0), Asking(0)]
    assert not Round(parts, echo).wakes
    parts[1].wakes = True
    assert Round(parts, echo).wakes


# ---------------------------------------------------------------------------- the promoter


def said(
    ready: str = "", after: int | None = None, *, more: bool = False, time: str = "-inf"
) -> Promoted:
    return Promoted(1_000, ready, after, 0, 0, more, Cursor(time))


def cursors(promoter: Promoter) -> list[object]:
    return [op.words[-4] for op in promoter.ops()]


def test_what_is_due_says_who_is_woken() -> None:
    promoter = Promoter(lambda: ("a", "b"), Clock())
    promoter.ops()
    promoter.read([said(after=2_000), said(fetch.SUSPECT, 1_500)])
    assert (promoter.suspects_wait, promoter.wakes, promoter.next_ms) == (True, False, 1_500)
    promoter.ops()
    promoter.read([said(fetch.ANY, 2_000), said("", None, more=True)])
    assert (promoter.suspects_wait, promoter.wakes, promoter.next_ms) == (False, True, 0.0)
    promoter.ops()
    promoter.read([said(), said()])
    assert (promoter.wakes, promoter.next_ms, promoter.now_ms) == (False, None, 1_000)


def test_it_goes_on_where_it_was_and_starts_again_every_now_and_then() -> None:
    clock = Clock()
    promoter = Promoter(lambda: ("a", "b"), clock)
    assert cursors(promoter) == ["-inf", "-inf"]
    promoter.read([said(time="5"), said(time="7")])
    assert cursors(promoter) == ["5", "7"]
    promoter.read([StoreError("refused"), said(time="8")])
    assert cursors(promoter) == ["-inf", "8"]
    promoter.read([said(time="5"), said(time="8")])
    clock.now += REWIND
    assert cursors(promoter) == ["-inf", "-inf"]


def test_a_refusal_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    promoter = Promoter(lambda: ("a", "b"), Clock())
    for answers in ([StoreError("no"), said("s")], [StoreError("no"), said()], [said(), said()]):
        promoter.ops()
        promoter.read(answers)
    assert caplog.messages == ["cannot promote queue=a error=no"]
    assert promoter.now_ms is not None


# ---------------------------------------------------------------------------- for real


@pytest.fixture
def mail(server: Server) -> Iterator[Line]:
    store = Store(lambda: parse_url(server.url))
    yield Line(store.run).open()
    store.close()


@pytest.fixture
def kept(server: Server) -> Iterator[Upkeep]:
    hello = Hello(
        url=server.url, safe_url="", app="shop", queues=("mail",), jobs=("f",), lease=0.03
    )
    made = Upkeep(hello, WorkerSettings(name="me", processes=1), clock=SystemClock())
    yield made
    made.forget()


def delay(mail: Line, *job_ids: str, ms: int) -> None:
    calls = [(one, CALL + one.encode()) for one in job_ids]
    mail.run(enqueue.enqueue_special("mail", calls, due=(ms, 0)))


def test_it_rests_no_longer_than_until_a_delayed_job_is_due(kept: Upkeep, mail: Line) -> None:
    kept.tick([])
    assert kept.rest == TICK
    now = mail.run(upkeep.time_ms())
    delay(mail, "a", ms=40)
    kept.tick([])
    assert GAP <= kept.rest <= 0.041
    while not mail.read():
        kept.tick([])
    assert mail.run(upkeep.time_ms()) >= now + 40


def test_delayed_jobs_whose_time_somebody_deleted_start(
    kept: Upkeep, mail: Line, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    delay(mail, *(f"job{number}" for number in range(150)), ms=60_000)
    server.cli("DEL", keys.due("mail"))
    found: list[str] = []
    while len(found) < 150:
        kept.tick([])
        found += [attempt.job_id.decode() for attempt in mail.read(200)]
    assert sum("without a time jobs=150" in line for line in caplog.messages) == 1
    assert len(set(found)) == 150
    assert problems(server) == []
