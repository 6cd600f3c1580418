"""What a worker must not start: what its supervisor writes down, and what it makes of that."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from jobq.core.history import AttemptRecord, History
from jobq.core.pauses import PauseRecord, Stopped, stopped_by
from jobq.errors import StoreError
from jobq.runtime import sheet as sheet_module
from jobq.runtime.board import Board
from jobq.runtime.children import Child
from jobq.runtime.hello import Hello
from jobq.runtime.paused import Paused
from jobq.runtime.pauses import Pauses
from jobq.runtime.sheet import Sheet, read_down, write_down
from jobq.store.ops.pause import HELD_FOR, Looked
from tests.runtime.test_attempts import CODEC, item, make, script, words

QUEUES = ("mail", "bulk")
NOTHING = Stopped()


def record(job: str | None = None, until: int | None = None) -> PauseRecord:
    return PauseRecord(job=job, since_ms=1, until_ms=until, by="ada", reason="")


def looked(*records: PauseRecord, more: bool = False) -> Looked:
    return Looked(0, more, records)


class Told:
    """A worker's knowledge, and each change of it."""

    def __init__(self, sheet: Sheet) -> None:
        self.changes: list[Stopped] = []
        self.paused = Paused(sheet, QUEUES, self.changes.append)


def test_what_is_written_down_is_read_again() -> None:
    records = {"mail": [record("mail.send"), record()], "bulk": [record("a b é")], "x": [record()]}
    text = write_down(QUEUES, records)
    assert text.startswith(b"0 *\n")
    assert read_down(QUEUES, text) == Stopped(
        frozenset({"mail"}), frozenset({("mail", "mail.send"), ("bulk", "a b é")})
    )
    assert write_down(QUEUES, {}) == b""
    assert read_down(QUEUES, b"") == NOTHING


def test_more_than_fits_leaves_out_single_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_module, "ROOM", 20)
    records = {"mail": [record(f"function-{n}") for n in range(9)], "bulk": [record()]}
    found = read_down(QUEUES, write_down(QUEUES, records))
    assert found.queues == {"bulk"}
    assert len(found.jobs) == 1


def test_a_worker_believes_its_own_look_until_a_later_one_of_its_supervisor() -> None:
    sheet = Sheet()
    told = Told(sheet)
    paused = told.paused
    sheet.begin(1)
    assert len(paused.ops()) == 2
    sheet.write(1, b"")  # it had begun before: it may have seen less
    paused.read([looked(record()), looked()])
    assert paused.stopped.queues == {"mail"}
    paused.look()
    assert paused.stopped.queues == {"mail"}
    sheet.begin(2)
    sheet.write(2, b"1 mail.send\n")
    paused.look()
    assert paused.stopped == Stopped(jobs=frozenset({("bulk", "mail.send")}))
    assert sheet.heeded == 2
    sheet.still(3)
    paused.look()
    assert sheet.heeded == 3
    assert len(told.changes) == 2


def test_a_page_that_is_being_written_on_is_read_later() -> None:
    sheet = Sheet()
    told = Told(sheet)
    sheet.write(1, b"0 *\n")
    sheet._words[0] += 1
    told.paused.look()
    assert told.changes == []
    sheet._words[0] += 1
    told.paused.look()
    assert told.changes == [Stopped(frozenset({"mail"}))]


def test_what_is_paused_goes_back_and_costs_nothing_when_nothing_is() -> None:
    attempts = make()
    usual = attempts._get
    assert usual == attempts._registry.get_plain
    attempts.heed(Stopped(jobs=frozenset({("default", "f"), ("default", "unknown")})))
    given = words(attempts.read(item()))
    assert script(attempts.read(item())) == "retry"
    assert round(HELD_FOR * 1000) in given
    assert "p" in given
    unknown = item(CODEC.encode_call("unknown", (), {}, None))
    assert "p" in words(attempts.read(unknown))
    crash = AttemptRecord(1, 0, "crashed", "WorkerDied", "", "")
    suspect = item(count=2, history=History().add(crash).encode())
    assert script(attempts.read(suspect)) == "park"
    assert "P" in words(attempts.read(suspect))
    other = item(CODEC.encode_call("g", (), {}, None))
    assert "u" in words(attempts.read(other))  # unknown, and not paused
    # The whole queue: it just goes back, where nobody fetches it.
    attempts.heed(Stopped(queues=frozenset({"default"})))
    given = words(attempts.read(item()))
    assert "s" in given
    assert round(HELD_FOR * 1000) not in given
    attempts.heed(Stopped(queues=frozenset({"another"})))
    assert not isinstance(attempts.read(item()), type(attempts.read(other)))
    attempts.heed(NOTHING)
    assert attempts._get == usual


@dataclass
class FakeChild:
    """A worker, as far as pauses go."""

    pid: int
    queues: tuple[str, ...] | None = QUEUES
    board: Board = field(default_factory=Board)
    signals: list[int] = field(default_factory=list)

    @property
    def hello(self) -> Hello | None:
        if self.queues is None:
            return None
        return Hello(url="", safe_url="", app="", queues=self.queues, jobs=(), lease=1.0)

    def signal(self, number: int) -> None:
        self.signals.append(number)


def part(*children: FakeChild) -> Pauses:
    told = cast("list[Child]", list(children))
    listed: Callable[[], list[Child]] = lambda: told  # noqa: E731  typed
    return Pauses(lambda: QUEUES, listed)


def test_a_supervisor_tells_each_worker_once_and_knows_who_has_heard() -> None:
    one, new = FakeChild(1), FakeChild(2, queues=None)
    pauses = part(one, new)
    assert len(pauses.ops()) == 2
    pauses.read([looked(), looked()])
    assert one.signals == []
    child = cast("Child", one)
    worker = Told(one.board.sheet).paused
    worker.look()
    assert pauses.has_heeded(child)
    pauses.ops()
    pauses.read([looked(record(until=5000)), looked(record("mail.send", until=4000))])
    assert len(one.signals) == 1
    assert not pauses.has_heeded(child)
    assert (pauses.is_paused("mail"), pauses.is_paused("bulk")) == (True, False)
    assert pauses.next_ms == 4000
    worker.look()
    assert pauses.has_heeded(child)
    assert worker.stopped.queues == {"mail"}
    # A queue that cannot be looked at stays as it was.
    pauses.ops()
    pauses.read([StoreError("no"), looked(more=True)])
    assert pauses.is_paused("mail")
    assert pauses.next_ms == 0
    assert new.board.sheet.read() == (0, b"")
    assert new.board.sheet.began == 3


def test_what_stops_what() -> None:
    stopped = stopped_by({"mail": [record("f")], "bulk": [record()]})
    assert stopped.holds("mail", "f")
    assert not stopped.holds("mail", "g")
    assert stopped.holds("bulk", "anything")
    get = {"f": 1, "g": 2}.get
    assert Stopped().getter(get) is get
    only = Stopped(jobs=frozenset({("mail", "f")})).getter(get)
    assert (only("f"), only("g")) == (None, 2)
    assert stopped.getter(get)("g") is None
