"""What a supervisor does in Redis, round by round."""

from collections.abc import Iterator
from dataclasses import replace

import msgpack
import pytest

from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.core.ids import make_job_id
from jobq.runtime.board import LOST, WAITING, Board
from jobq.runtime.children import Child, End
from jobq.runtime.hello import Hello
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.upkeep import Upkeep, lease_of
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import control, enqueue, fetch, inspect, upkeep
from jobq.store.ops.control import Command
from jobq.store.sync import Store
from jobq.store.wire import Op
from tests.conftest import StartServer
from tests.store.line import due_soon
from tests.support.server import Server

NAMES = ("slow", "gone", "strange", "silent")
CALL = Codec().encode_call("f", (), {}, None)


class Clock(SystemClock):
    """Goes on as the real one does, and can be put forward."""

    __slots__ = ("ahead",)

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Recorder(Child):
    """A worker that nobody started; signals to it are written down."""

    __slots__ = ("signals",)

    def __init__(self, hello: Hello) -> None:
        super().__init__(1, 0, "w#0", Board(), isolated=False, born=0.0, reader=-1, hello=hello)
        self.signals: list[int] = []

    def signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def hello(server: Server) -> Hello:
    return Hello(
        url=server.url, safe_url="", app="shop", queues=("default",), jobs=("f",), lease=8.0
    )


@pytest.fixture
def child(hello: Hello) -> Recorder:
    return Recorder(hello)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(hello: Hello, clock: Clock) -> Iterator[Upkeep]:
    made = Upkeep(hello, WorkerSettings(name="me", processes=1), clock=clock)
    yield made
    made.forget()


def take(store: Store, many: int, consumer: str = "w#0", queue: str = "default") -> list[bytes]:
    """Put jobs into a queue and fetch them for a worker; returns their entries."""
    store.run(upkeep.regroup(queue))
    for _ in range(many):
        store.run(enqueue.enqueue(queue, make_job_id(), CALL))
    return [entry[0] for entry in store.run(fetch.read(queue, consumer, many, 0))]


def record(store: Store) -> dict[str, object]:
    (presence,) = store.run(inspect.workers())
    found: dict[str, object] = msgpack.unpackb(presence.record)
    return found


def test_the_lease_of_the_command_line_goes_before_that_of_the_app(
    hello: Hello, kept: Upkeep, store: Store
) -> None:
    assert lease_of(WorkerSettings(processes=1), hello) == 8.0
    assert lease_of(WorkerSettings(processes=1, lease=3.0), hello) == 3.0
    kept.tick([])
    assert record(store)["lease"] == 8.0


def test_leases_are_renewed_and_lost_ones_are_told(
    store: Store, kept: Upkeep, clock: Clock, child: Recorder
) -> None:
    mine, waits, lost = take(store, 3)
    first, _, third = child.board.hold([mine, waits, lost], 0, "j")
    child.board.started(first)
    child.board.started(third)
    kept.tick([child])
    assert child.board.renewed == 0
    store.run(Op(("XCLAIM", keys.jobs("default"), "jobq", "other", 0, lost), len))
    clock.ahead += 2.1
    for _ in range(2):
        before = clock.monotonic()
        kept.tick([child])
        assert before - 0.001 <= child.board.renewed <= clock.monotonic()
        clock.ahead += 2.1
    assert child.board.notes() == [(LOST, b"0j" + lost)]
    assert len(child.signals) == 1


def test_who_holds_nothing_is_renewed_while_redis_answers(
    kept: Upkeep, clock: Clock, child: Recorder
) -> None:
    kept.tick([child])
    clock.ahead += 2.1
    kept.tick([child])
    assert child.board.renewed > 0


def test_commands_are_read_from_the_start_of_the_supervisor_on(store: Store, kept: Upkeep) -> None:
    store.run(control.send(Command("stop", "me")))
    kept.tick([])
    kept.tick([])
    assert kept.control.orders == []
    store.run(control.send(Command("drain", "me")))
    kept.tick([])
    assert kept.control.orders == ["drain"]


def test_the_register_says_what_it_does(store: Store, kept: Upkeep, child: Recorder) -> None:
    child.board.says(WAITING)
    kept.tick([child])
    assert record(store)["state"] == "running"
    kept.now_is("drained")
    kept.tick([])
    assert record(store)["state"] == "drained"
    kept.leave()
    assert store.run(inspect.workers()) == []


def test_newer_code_and_older_workers_are_both_looked_after(
    store: Store, hello: Hello, kept: Upkeep, child: Recorder
) -> None:
    newer = Hello(url=hello.url, safe_url="", app="shop", queues=("b",), jobs=("g",), lease=6.0)
    kept.met(newer)
    assert kept.lease == 6.0
    kept.tick([child])
    assert record(store)["queues"] == ["b", "default"]


def test_what_a_dead_worker_held_goes_to_others(
    server: Server, store: Store, kept: Upkeep, child: Recorder
) -> None:
    ran, waited = take(store, 2)
    first, _ = child.board.hold([ran, waited], 0, "j")
    child.board.started(first)
    kept.died(child, child.fates(End(-9, 1_000_000)))
    kept.tick([])
    due = {letter for letter, _ in due_soon(server, "default")}
    assert due == {fetch.SUSPECT, fetch.ANY}


def test_nothing_is_hurried_that_does_not_wait(kept: Upkeep) -> None:
    kept.hurry()
    assert kept.waits_since == 0


def test_a_queue_that_cannot_take_its_jobs_back_does_not_stop_the_rest(
    server: Server, store: Store, hello: Hello, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger has written over one of its keys."""
    queues = ("broken", "default")
    both = Hello(url=hello.url, safe_url="", app="", queues=queues, jobs=(), lease=8.0)
    kept = Upkeep(both, WorkerSettings(name="me", processes=1), clock=clock)
    dead = [Recorder(both), Recorder(both)]
    dead[0].consumer = "w#1"
    for queue, child in zip(queues, dead, strict=True):
        take(store, 1, child.consumer, queue)
        kept.died(child, {})
    store.run(Op(("SET", keys.due("broken"), "garbage"), str))
    for _ in range(3):
        kept.tick([])
        clock.ahead += 1.1
    assert len(due_soon(server, "default")) == 1
    assert record(store)["state"] == "running"
    wrong = [line.split(" error=")[0] for line in caplog.messages if "WRONGTYPE" in line]
    assert sorted(wrong) == ["cannot promote queue=broken", "refused by redis"], "each once"
    store.run(Op(("DEL", keys.due("broken")), int))
    kept.tick([])
    assert len(due_soon(server, "broken")) == 1
    kept.forget()


def test_a_redis_that_would_delete_jobs_is_told_once(
    hello: Hello, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    server = start_server({"maxmemory-policy": "allkeys-lru"})
    one = Upkeep(replace(hello, url=server.url), WorkerSettings(name="shop:1"), clock=clock)
    one.tick([])
    assert not caplog.messages  # without a limit of its memory it deletes nothing
    server.cli("CONFIG", "SET", "maxmemory", "1gb")
    for _ in range(2):
        clock.ahead += 700
        one.tick([])
    (told,) = caplog.messages
    assert "allkeys-lru" in told
    assert "CONFIG SET maxmemory-policy noeviction" in told
    one.leave()


def test_what_another_holds_is_judged_by_its_own_lease(
    store: Store, kept: Upkeep, clock: Clock
) -> None:
    """One with a lease of a minute renews each 15 s, and ours is 8 s."""
    slow, gone, strange, silent = take(store, 4, "slow#0")
    stream = keys.jobs("default")
    for name, entry in (("slow", slow), ("gone", gone), ("strange", strange), ("silent", silent)):
        words = ("XCLAIM", stream, "jobq", f"{name}#0", 0, entry, "IDLE", 20_000, "JUSTID")
        store.run(Op(words, len))
    store.run(upkeep.beat("slow", msgpack.packb({"lease": 60.0}), 30.0))
    store.run(upkeep.beat("strange", msgpack.packb({"lease": float("inf")}), 30.0))
    for _ in range(3):
        kept.tick([])
        now_ms = store.run(upkeep.time_ms())
        said = b"%d %b" % (now_ms - 10_000, msgpack.packb({"lease": 60.0}))
        store.run(Op(("HSET", keys.WORKERS, "silent", said), int))
        clock.ahead += 3.0
    held = {name: len(store.run(fetch.mine("default", stream, f"{name}#0"))) for name in NAMES}
    assert held == {"slow": 1, "gone": 0, "strange": 0, "silent": 0}


def test_leases_are_renewed_before_others_have_looked_twice_after_an_outage(
    start_server: StartServer, hello: Hello, clock: Clock
) -> None:
    """They look a third of a lease apart."""
    server = start_server()
    hello = replace(hello, url=server.url, lease=1.5)
    short, child = Upkeep(hello, WorkerSettings(processes=1), clock=clock), Recorder(hello)
    short.tick([child])
    server.kill()
    for _ in range(20):
        clock.ahead += 0.251
        short.tick([child])
    server.start()
    store = Store(lambda: parse_url(server.url))
    child.board.hold(take(store, 1), 0, "j")
    clock.ahead += 0.251  # a sixth of a lease: it has tried again by then
    before = clock.monotonic()
    short.tick([child])
    assert child.board.renewed >= before - 0.001
    short.forget()
    store.close()
