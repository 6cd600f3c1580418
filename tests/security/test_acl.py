"""The ACL lines of the guide: each role can do what it is for, and Redis refuses it nothing."""

import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from jobq import JobQ
from jobq.errors import StoreDenied
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import ASYNC, COMMON, PATIENCE, Ground, children
from tests.support.server import Server
from tests.support.wait import wait_until

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "security.md"

APP = """
@app.job(retries=1, backoff=0.01)
def fails(n):
    raise ValueError(n)

@app.job(max_crashes=2)
def dies(n):
    os._exit(1)

@app.job
def add(a, b):
    return a + b
"""


def lines() -> dict[str, list[str]]:
    """Return the lines of the guide, by user."""
    found = re.findall(r"^ACL SETUSER .*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return {words[2]: words for words in map(shlex.split, found)}


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server of the test's own, with the users of the guide."""
    own = start_server()
    for words in lines().values():
        assert own.cli(*words) == b"OK"
    return own


def url(server: Server, user: str) -> str:
    (password,) = (word[1:] for word in lines()[user] if word.startswith(">"))
    return f"unix://{user}:{password}@{server.socket}"


def refused(server: Server) -> list[tuple[bytes, bytes]]:
    """Return what Redis has refused, and to whom."""
    found = []
    for entry in server.cli("ACL", "LOG"):
        said = dict(zip(entry[::2], entry[1::2], strict=True))
        found.append((said[b"username"], said[b"object"]))
    return found


def test_nobody_gets_what_is_dangerous() -> None:
    assert set(lines()) == {"jobq-producer", "jobq-worker", "jobq-reader"}
    for words in lines().values():
        rights = {word for word in words if word[0] in "+&~%"}
        assert not [word for word in rights if word.startswith("+@")]
        assert {word for word in rights if word[0] != "+"} == {"~jobq:*"}
        assert {"-@all", "resetkeys", "resetchannels"} < set(words)
        assert not rights & {"+keys", "+flushall", "+flushdb", "+config", "+debug", "+acl"}
    writes = {"+set", "+del", "+hset", "+hdel", "+xadd", "+xdel", "+xack", "+sadd", "+zadd"}
    assert not writes & set(lines()["jobq-reader"])


async def test_a_producer_and_a_worker(server: Server, make_ground: MakeGround) -> None:
    ground = make_ground(server, url(server, "jobq-worker"))
    ground.write(COMMON, ASYNC, APP)
    producer = url(server, "jobq-producer")
    async with (
        JobQ(producer, signing_keys={}) as app,
        JobQ(producer, max_queue_size=100_000) as bounded,
    ):
        add = app.job(name="jobs.add")(lambda a, b: a + b)
        waits = app.send("jobs.add", 0, 0)
        assert waits.status() == "ready"
        assert waits.cancel()
        first = add.delay(1, 1)
        soon = app.options(debounce="100ms", priority="high").send("jobs.add", 0, 0)
        assert soon == app.options(debounce="100ms").send("jobs.add", 4, 4)
        once = await app.options(unique="args", delay="100ms").asend("jobs.add", 5, 5)
        many = add.map([(n, 1) for n in range(1500)])
        later = await add.adelay(2, 2)
        own = bounded.options(job_id="mine").send("jobs.add", 3, 3)
        failed = app.send("jobs.fails", 1)
        dead = app.send("jobs.dies", 1)
        worker = ground.worker("--threads", "2", processes=2)
        assert first.result(PATIENCE) == 2
        assert await later.aresult(PATIENCE) == 4
        assert (own.result(PATIENCE), many[-1].result(PATIENCE)) == (6, 1500)
        assert (soon.result(PATIENCE), once.result(PATIENCE)) == (8, 10)
        for handle in (failed, dead):
            with pytest.raises(Exception, match="failed after"):
                handle.result(PATIENCE)
        assert app.handle(failed.id).status() == "dead"
        # One that runs is cancelled, and the rest of its time is not waited for.
        slow = app.send("jobs.slow", 1, 60)
        ground.wait_traced("started")
        assert slow.cancel()
        wait_until(lambda: slow.status() == "cancelled", "it is cancelled", PATIENCE)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    assert refused(server) == []


@pytest.mark.slow
def test_a_host_that_dies_is_recovered(server: Server, make_ground: MakeGround) -> None:
    ground = make_ground(server, url(server, "jobq-worker"))
    ground.write(COMMON)
    lost = ground.worker("--lease", "1s")
    ground.put("jobs.slow", [(1, 0.5)])
    ground.wait_traced("started")
    for pid in (lost.pid, *children(lost.pid)):
        os.kill(pid, signal.SIGKILL)
    healthy = ground.worker("--lease", "1s")
    ground.wait_empty(timeout=PATIENCE)
    server.cli("XGROUP", "DESTROY", "jobq:{default}:jobs", "jobq")  # a lost group is made anew
    ground.put("jobs.short", [(2,)])
    ground.wait_empty(timeout=PATIENCE)
    healthy.terminate()
    assert healthy.wait(PATIENCE) == 0
    assert refused(server) == []


@pytest.mark.slow
def test_schedules_are_added_ticked_and_looked_at(server: Server, make_ground: MakeGround) -> None:
    ground = make_ground(server, url(server, "jobq-worker"))
    ground.write(APP, '@app.job(every="1s", overlap="queue")\ndef ticks(): trace("ran")\n')
    ground.worker()
    ground.wait_traced("ran", 2)
    with JobQ(url(server, "jobq-producer")) as app:
        app.schedules.add("adding", app.options().s("jobs.add", 1, 2), every="1s")
        assert app.schedules.pause("adding")
        assert app.schedules.resume("adding")
        assert app.schedules.run_now("adding").result(PATIENCE) == 3
        app.schedules.remove("adding")
    with JobQ(url(server, "jobq-reader")) as reader:
        wait_until(
            lambda: any(
                one.outcome == "succeeded" for one in reader.schedules.get("jobs.ticks").past
            ),
            "the outcome is noted",
            PATIENCE,
        )
        assert len(reader.schedules.list()) == 1
    assert refused(server) == []


@pytest.mark.slow
def test_a_reader_looks_and_changes_nothing(server: Server, make_ground: MakeGround) -> None:
    ground = make_ground(server)
    ground.write(APP)
    ground.send("jobs.fails", 1)
    ground.burst()
    waits = ground.send("jobs.add", 1, 2)
    (letter,) = ground.dead()
    reader = Ground(
        ground.folder,
        server,
        ground.redis,
        ground.spawn,
        ground.app,
        url(server, "jobq-reader"),
    )
    looks: list[tuple[str, ...]] = [
        ("queues",),
        ("metrics",),
        ("workers",),
        ("job", "show", waits.id),
        ("dlq", "list"),
        ("dlq", "list", "--group"),
        ("dlq", "list", "--error", "*", "--since", "1h"),
        ("dlq", "show", letter["id"]),
        ("dlq", "export"),
    ]
    for words in looks:
        reader.start("jobq", *words).check(PATIENCE)
    assert refused(server) == []
    before = server.cli("DBSIZE"), server.cli("HGETALL", "jobq:{default}:index")
    changes: list[tuple[str, tuple[str, ...]]] = [
        ("del", ("dlq", "retry", "--yes", letter["id"])),
        ("xdel|del|hdel", ("dlq", "purge", "--yes", letter["id"])),
        ("zcard|xdel|hset|hdel|xadd|xack|set", ("job", "cancel", waits.id)),
        ("sadd", ("enqueue", "jobs.add", "--args", "[1, 2]")),
    ]
    for command, words in changes:
        tried = reader.start("jobq", *words)
        assert tried.wait(PATIENCE) == 1, tried.text
        assert re.search(rf"(?i)\b({command})\b|this command|the user executing", tried.text)
        assert "change-me" not in tried.text
    assert (server.cli("DBSIZE"), server.cli("HGETALL", "jobq:{default}:index")) == before
    with JobQ(reader.url) as app, pytest.raises(StoreDenied, match=r"(?i)permission|can't run"):
        app.send("jobs.add", 1, 2)


def test_a_worker_pauses_moves_and_purges_queues(server: Server) -> None:
    with JobQ(url(server, "jobq-worker"), signing_keys={}) as app:
        queue = app.queue("mail")
        for options in ({}, {"delay": "1h"}, {"priority": "high"}):
            app.options(queue="mail", **options).send("jobs.short", 1)  # type: ignore[arg-type]
        queue.pause("jobs.short")
        queue.pause(for_="1h")
        assert queue.drain("1s") == 0
        assert queue.resume()
        assert queue.resume("jobs.short")
        assert queue.move("bulk").done == 3
        assert app.queue("bulk").purge() == 3
    with JobQ(url(server, "jobq-reader")) as reader:
        assert reader.queue("mail").pauses() == ()
        with pytest.raises(StoreDenied):
            reader.queue("mail").pause()
    assert {user for user, _ in refused(server)} == {b"jobq-reader"}
