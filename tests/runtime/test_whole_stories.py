"""Five whole stories, with a cut before and after each of their commands: they end the same."""

import asyncio
import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from jobq import JobQ
from jobq.client.desk import Desk
from jobq.client.letters import Letters
from jobq.core.clock import SystemClock
from jobq.core.history import History
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.errors import DuplicateJob, Retry
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import Board
from jobq.runtime.children import Child, Key
from jobq.runtime.executors.inline import InlineExecutor
from jobq.runtime.executors.plan import Plan
from jobq.runtime.hello import Hello
from jobq.runtime.notes import Notes
from jobq.runtime.recovery import Crashed
from jobq.runtime.redis_time import redis_ms
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.upkeep import Upkeep
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.keys import GROUP
from jobq.store.ops import fetch, settle, upkeep
from tests.store.line import Line, problems, view
from tests.support.proxy import Proxy
from tests.support.server import Server

QUEUE = "default"
#: A process that there is not: nobody is to be signalled.
NOBODY = 2**22 + 1

#: Seconds after which a worker that finds no end is stopped.
PATIENCE = 3.0


class Scene:
    """What a story is played with: an app behind the proxy, another one beside it.

    Attributes:
        app: an app whose every command goes through the proxy.
        near: the queue, without the proxy: what was there before, and what came of it.
        starts: which job was started how often.
    """

    def __init__(self, proxy: Proxy, server: Server) -> None:
        self.server = server
        self.app = JobQ(proxy.url, backoff=0)
        self.there = JobQ(server.url)
        self.near = Line(self.there.store.run, QUEUE).open()
        self.starts: Counter[str] = Counter()
        self.ids: dict[str, str] = {}

    def close(self) -> None:
        """Close the connections."""
        self.app.close()
        self.there.close()

    def states(self) -> dict[str, str]:
        """Return where each job is that the story has a name for."""
        looks = {name: self.near.look(job_id) for name, job_id in self.ids.items()}
        return {name: f"{seen.state} {seen.attempt}" for name, seen in looks.items()}


class Worker:
    """A worker of sync jobs that ends when the queue is empty; it runs here, not in a process.

    Attributes:
        executor: what runs the jobs.
        board: the page that a supervisor would share.
    """

    def __init__(self, app: JobQ, consumer: str = "me") -> None:
        clock = SystemClock()
        self.board = Board()
        now_ms = redis_ms(self.board, clock)
        attempts = Attempts(
            app.registry, app.codec, consumer=consumer, now_ms=now_ms, rng=lambda: 0.5
        )
        self._address = parse_url(app.redis_url())
        self._connections: list[Connection] = []
        self.executor = InlineExecutor(
            Plan(queues=(QUEUE,), consumer=consumer, burst=True, has_async=False),
            attempts,
            self._connect,
            self.board,
            clock,
            Notes(self.board, (QUEUE,), lease=30.0, clock=clock),
        )

    def run(self) -> None:
        """Work until nothing is left; a job that is never found is told by where it is then."""
        late = threading.Timer(PATIENCE, self.executor.stop)
        late.start()
        self.executor.run()
        late.cancel()
        late.join()
        for connection in self._connections:
            connection.close()

    def _connect(self) -> Connection:
        self._connections.append(Connection(lambda: self._address))
        return self._connections[-1]


def produce(scene: Scene) -> object:
    """A producer: one call, many, some under ids of their own, and some from a loop."""
    app = scene.app

    @app.job(name="send")
    def send(n: int) -> None:
        """Do nothing."""

    @app.job(name="asend")
    async def asend(n: int) -> None:
        """Do nothing."""

    send.delay(0)
    many = send.map([(n,) for n in range(1, 2500)])
    own = send.options(job_id="own").delay(2500)
    with pytest.raises(DuplicateJob):
        send.options(job_id="own").delay(2501)

    async def more() -> None:
        first = await asend.adelay(2502)
        handles = await asyncio.gather(*(asend.adelay(n) for n in range(2503, 2510)))
        assert len({first, *handles}) == 8
        with contextlib.suppress(DuplicateJob):
            await asend.options(job_id="own").adelay(2501)
            raise AssertionError("it was added twice")
        await app.aclose()

    asyncio.run(more())
    assert (len(set(many)), own.id) == (2499, "own")
    sent: Counter[object] = Counter()
    for _, fields in scene.server.cli("XRANGE", keys.jobs(QUEUE), "-", "+"):
        sent.update(app.codec.decode_call(fields[1]).args)
    assert sent == {n: 1 for n in range(2510) if n != 2501}
    return scene.near.count().ready


def work(scene: Scene) -> object:
    """A worker: jobs that succeed, fail, are retried, ask for a retry, and are buried."""
    app, starts = scene.app, scene.starts

    @app.job(name="good")
    def good(n: int) -> int:
        starts[f"good {n}"] += 1
        return n

    @app.job(name="flaky")
    def flaky() -> str:
        starts["flaky"] += 1
        if starts["flaky"] == 1:
            raise ValueError("again")
        return "done"

    @app.job(name="poor", retries=1)
    def poor() -> None:
        starts["poor"] += 1
        raise ValueError("never")

    @app.job(name="later")
    def later() -> None:
        starts["later"] += 1
        if starts["later"] < 3:
            raise Retry(after=0)

    near = scene.there
    calls: list[tuple[str, list[object]]] = [(f"good {n}", [n]) for n in range(3)]
    calls += [("flaky", []), ("poor", []), ("later", [])]
    for name, args in calls:
        scene.ids[name] = near.send(name.split()[0], *args).id
    Worker(app).run()
    states = scene.states()
    if states["good 2"] == "succeeded 0":
        assert near.handle(scene.ids["good 2"], QUEUE).result(0) == 2
    return states, dict(starts), scene.near.count().totals


def stop(scene: Scene) -> object:
    """A worker that is told to stop while it runs one of many jobs, and another that goes on."""
    app, starts = scene.app, scene.starts
    first = Worker(app, "first")

    @app.job(name="one")
    def one(n: int) -> int:
        starts[str(n)] += 1
        if n == 9:
            first.executor.stop()
        return n

    for n in range(30):
        scene.ids[str(n)] = scene.there.send("one", n).id
    names = {job_id: name for name, job_id in scene.ids.items()}
    first.run()
    assert len(starts) == 10
    near = scene.near
    left = [*near.mine(near.jobs, "first"), *near.mine(near.retries, "first")]
    for held in left:  # what its supervisor does
        call = scene.app.codec.encode_call("one", (int(names[held.job_id.decode()]),), {})
        near.run(settle.release(held, call, delay=0.0, kind=fetch.ANY))
    Worker(app, "second").run()
    assert starts == {str(n): 1 for n in range(30)}  # it settles over a cut, at its end too
    return scene.states()


@dataclass
class Time:
    """A clock that goes on when it is told to."""

    now: float = field(default_factory=SystemClock().monotonic)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return SystemClock().time()


def supervise(scene: Scene) -> object:
    """A supervisor: renews leases, recovers a dead worker, and what a dead host had."""
    near, server = scene.near, scene.server
    near.fail(near.start("old", "far#0"))
    near.add("kept", "ran", "fetched", "cancelled", "far")
    (old,) = near.claim(1, "far#0")
    held = {one.job_id.decode(): one for one in near.read(1, "live#0")}
    held |= {one.job_id.decode(): one for one in near.read(3, "dead#1")}
    held |= {one.job_id.decode(): one for one in near.read(1, "far#0")}
    near.cancel("cancelled")
    for one in (held["kept"], held["far"], old):
        stream = near.retries if one.count else near.jobs
        words = ("XCLAIM", stream, GROUP, one.consumer, 0, one.entry)
        assert server.cli(*words, "IDLE", 10**8, "JUSTID")
    hello = Hello(
        url=scene.app.redis_url(),
        safe_url="",
        app="app",
        queues=(QUEUE,),
        jobs=(),
        lease=4.0,
        policies={},
    )
    time = Time()
    settings = WorkerSettings(queues=(QUEUE,), name="live", processes=1)
    service = Upkeep(hello, settings, clock=time)
    live, dead = (
        Child(
            pid=NOBODY,
            slot=slot,
            consumer=consumer,
            board=Board(),
            isolated=False,
            born=time.now,
            reader=-1,
            hello=hello,
        )
        for slot, consumer in enumerate(["live#0", "dead#1"])
    )
    live.board.hold([held["kept"].entry], 0, "j")
    ran = Key(QUEUE, False, held["ran"].entry.decode())
    service.died(dead, {ran: Crashed("killed")})
    for _ in range(40):
        service.tick([live])
        time.now += 1.4
        if not near.mine(near.jobs, "far#0") and not near.mine(near.retries, "far#0"):
            break
    for _ in range(2):  # so that each service has had its turn
        service.tick([live])
        time.now += 6.0
    service.leave()
    (row,) = server.cli("XPENDING", near.jobs, GROUP, "-", "+", 9, "live#0")
    assert row[2] < 10**7, "the lease was renewed"
    found = view(server, QUEUE)
    assert found["kept"] == ("jobs", "live#0", 0, 0, True, False)
    return found, near.count().totals  # not the register, which forgets those that died by itself


def sit_at_the_desk(scene: Scene) -> object:
    """A person: cancels what waits and what runs, retries and purges dead letters."""
    near = scene.near
    for name in ("again", "away"):
        scene.there.options(job_id=name).send("call")
        (attempt,) = near.read()
        blob = scene.there.codec.encode_call("call", (), {})
        letter = Letter("used up", Failure("E", "", ""), 1, 0, History()).encode()
        assert near.run(settle.bury(attempt, blob, letter, 0, b""))
    near.fail(near.start("retrying"), delay=3600.0)
    near.start("running")
    near.add("waiting", "other")
    near.run(upkeep.regroup(QUEUE))
    desk = Desk(scene.app.store, scene.app.codec)
    desk.cancel("waiting", QUEUE)
    desk.cancel("retrying", QUEUE)
    scene.app.handle("running", QUEUE).cancel()
    letters = Letters(scene.app.store, scene.app.codec)
    letters.purge(["away"], QUEUE)
    letters.retry(["again"], QUEUE)
    assert list(letters.rows()) == []
    found = view(scene.server, QUEUE)
    assert found["running"][-1] is True, "it is marked"
    return found, near.count().totals


STORIES: dict[str, Callable[[Scene], object]] = {
    "produce": produce,
    "work": work,
    "supervise": supervise,
    "desk": sit_at_the_desk,
    "stop": stop,
}


@pytest.fixture
def play(proxy: Proxy, server: Server) -> Callable[[Callable[[Scene], object]], object]:
    """Play a story on an empty server; returns what came of it."""

    def play(story: Callable[[Scene], object]) -> object:
        server.cli("FLUSHALL")
        scene = Scene(proxy, server)
        try:
            came_of_it = story(scene)
            assert problems(server, QUEUE) == []
        finally:
            scene.close()
        return came_of_it

    return play


@dataclass(frozen=True)
class Cutting:
    """Which commands of a story are cut: each so-manieth one."""

    name: str
    step: int


#: The fast suite tries some commands of each story, the slow one each of them.
SOME = [
    Cutting("produce", 5), Cutting("work", 11), Cutting("supervise", 9), Cutting("desk", 2),
    Cutting("stop", 13),
]  # fmt: skip
EACH = [
    pytest.param(Cutting(name, 1), marks=[pytest.mark.slow, pytest.mark.timeout(300)])
    for name in STORIES
    if name != "desk"
]


@pytest.mark.parametrize("cutting", [*SOME, *EACH], ids=str)
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_at_each_command(
    play: Any, proxy: Proxy, cutting: Cutting, when: Literal["before", "after"]
) -> None:
    story = STORIES[cutting.name]
    expected = play(story)
    cut = {"before": proxy.cut_before_request, "after": proxy.cut_after_request}[when]
    for skip in itertools.count(0, cutting.step):
        fault = cut(skip=skip)
        came_of_it = play(story)
        if not fault.command:
            break
        assert came_of_it == expected, f"cut {when} command {skip}: {fault.command[:2]!r}"
    proxy._faults.clear()
    assert skip > 8


@pytest.mark.slow
def test_a_retry_that_comes_back_in_the_trip_that_is_cut(play: Any, proxy: Proxy) -> None:
    """Parked and taken again by one write: the answer to both is lost."""

    def story(scene: Scene) -> object:
        starts = scene.starts

        @scene.app.job(name="later")
        def later() -> None:
            starts["later"] += 1
            if starts["later"] < 3:
                raise Retry(after=0)

        scene.ids["later"] = scene.there.send("later").id
        Worker(scene.app).run()
        return scene.states(), dict(starts)

    for skip in range(12):
        proxy.cut_before_request("XREADGROUP", skip=skip)
        assert play(story) == ({"later": "succeeded 0"}, {"later": 3})
    proxy._faults.clear()
