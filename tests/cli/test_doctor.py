"""`jobq doctor`: each finding in a real situation."""

import ast
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from redis import Redis

from jobq import JobQ
from jobq.client.doctor import Doctor
from jobq.core.clock import SystemClock
from jobq.core.doctor import queue as queue_rules
from jobq.core.doctor import server as server_rules
from jobq.store import keys
from jobq.store.ops import diagnose, pause, schedules, upkeep
from tests.cli.conftest import Run
from tests.conftest import StartServer
from tests.faults.test_redis_replica import demote, free_port
from tests.support import source
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "security.md"

Row = dict[str, str | None]


@pytest.fixture
def app(redis_url: str) -> Iterator[JobQ]:
    with JobQ(redis_url) as app:
        yield app


@pytest.fixture
def ask(run: Run) -> Callable[..., list[Row]]:
    """Run the doctor; returns its lines but those that are ok."""

    def ask(*words: str) -> list[Row]:
        said = run("doctor", "--json", *words)
        found = said.json
        assert isinstance(found, dict)
        rows: list[Row] = found["findings"]
        assert found["level"] == worst_of(rows)
        assert said.code == (1 if found["level"] == "bad" else 0)
        wrong = [row for row in rows if row["level"] != "ok"]
        assert all(row["fix"] for row in wrong), "each line has its fix"
        return wrong

    return ask


Ask = Callable[..., list[Row]]


def worst_of(rows: list[Row]) -> str:
    levels = {row["level"] for row in rows}
    return "bad" if "bad" in levels else "warning" if "warning" in levels else "ok"


def the(rows: list[Row], check: str) -> tuple[str | None, str]:
    """Return the level and the message of the one line of a check."""
    (row,) = [row for row in rows if row["check"] == check]
    return row["level"], str(row["message"])


def alive(app: JobQ, *jobs: str, name: str = "w1", version: str = "1.0") -> None:
    """Put a worker into the register."""
    record = {"queues": ["default"], "jobs": jobs, "state": "running", "version": version}
    app.store.run(upkeep.beat(name, msgpack.packb(record), 1000.0))


def test_all_is_well(run: Run, start_server: StartServer) -> None:
    server = start_server(appendonly=True)
    server.cli("CONFIG", "SET", "appendfsync", "everysec")
    said = run("doctor", "--url", server.url, "--strict")
    assert (said.code, said.err) == (0, ""), said.out
    lines = said.out.splitlines()
    assert all(line.startswith("ok  ") for line in lines[:-1])
    assert re.fullmatch(r"\d+ ok", lines[-1])
    server.cli("CONFIG", "SET", "appendonly", "no")
    said = run("doctor", "--url", server.url)
    assert said.code == 0
    assert "\n                      fix: CONFIG SET appendonly yes" in said.out
    assert said.out.endswith(" ok\n")
    assert "\n1 warning, " in said.out
    assert run("doctor", "--url", server.url, "--strict").code == 1


def test_nobody_answers(ask: Ask, start_server: StartServer) -> None:
    level, what = the(ask("--url", f"redis://127.0.0.1:{free_port()}"), "connection")
    assert level == "bad"
    assert "refused" in what
    guarded = start_server({"requirepass": "right"})
    level, what = the(ask("--url", f"unix://:wrong-word@{guarded.socket}"), "connection")
    assert level == "bad"
    assert "WRONGPASS" in what
    assert "wrong-word" not in what


def test_settings_of_redis(ask: Ask, start_server: StartServer) -> None:
    server = start_server()

    def seen(check: str, **settings: str) -> tuple[str | None, str]:
        for name, value in settings.items():
            server.cli("CONFIG", "SET", name.replace("_", "-"), value)
        return the(ask("--url", server.url), check)

    assert seen("persistence") == ("warning", "none: all jobs are lost when Redis ends")
    assert "snapshots only" in seen("persistence", save="900 1")[1]
    what = seen("persistence", appendonly="yes", appendfsync="no")[1]
    assert what.startswith("appendonly yes, appendfsync no: ")
    assert "would delete" in seen("eviction", maxmemory_policy="allkeys-lru")[1]
    assert seen("eviction", maxmemory="100mb")[0] == "bad"
    level, what = seen("eviction", maxmemory_policy="volatile-lru")
    assert (level, what.partition(":")[0]) == ("warning", "volatile-lru")
    used = int(server.connect().info("memory")["used_memory"])
    policy = "noeviction"
    assert seen("memory", maxmemory_policy=policy, maxmemory=str(int(used * 1.15)))[0] == "warning"
    assert seen("memory", maxmemory=str(used))[0] == "bad"
    server.cli("CONFIG", "SET", "maxmemory", "0")
    demote(server)
    level, what = the(ask("--url", server.url), "replicas")
    assert (level, "takes no writes" in what) == ("bad", True)
    server.kill()


def test_clock_and_latency(app: JobQ, proxy: Proxy, ask: Ask) -> None:
    proxy.pause = 0.01
    assert the(ask("--url", proxy.url), "latency")[0] == "warning"

    class Behind(SystemClock):
        def time(self) -> float:
            return super().time() - 30.0

    found = [one for one in Doctor(app, clock=Behind()).examine() if one.check == "clock"]
    assert [one.level for one in found] == ["warning"]
    assert found[0].what.startswith("this host is 30 s behind Redis")


def test_a_queue_and_its_workers(
    ask: Ask, app: JobQ, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = app.send("jobs.f")
    rows = [row for row in ask() if row["check"] != "persistence"]
    assert [(row["check"], row["queue"]) for row in rows] == [("workers", "default")]
    assert "1 job waiting" in str(rows[0]["message"])
    with monkeypatch.context() as patch:
        patch.setattr(queue_rules, "ALONE", -1.0)
        assert the(ask(), "workers")[0] == "bad"
    alive(app, "jobs.g")
    rows = ask()
    assert the(rows, "groups") == (
        "warning",
        "jobq:{default}:jobs has no consumer group, and 1 in it",
    )
    what = the(rows, "unknown jobs")[1]
    assert what == "no live worker knows jobs.f, and jobs of that name wait"
    # A group that begins behind the job.
    redis.xgroup_create(keys.jobs("default"), keys.GROUP, "$")
    assert the(ask(), "groups")[0] == "bad"
    redis.xgroup_destroy(keys.jobs("default"), keys.GROUP)
    app.store.run(upkeep.regroup("default"))
    alive(app, "jobs.f")
    assert [row["check"] for row in ask()] == ["persistence"]
    # A worker that took it and died.
    redis.xreadgroup(keys.GROUP, "gone#0-1", {keys.jobs("default"): ">"}, count=1)
    assert [row["check"] for row in ask()] == ["persistence"]
    with monkeypatch.context() as patch:
        patch.setattr(queue_rules, "SILENT", -1.0)
        level, what = the(ask(), "leases")
        assert (level, what.partition(",")[0]) == ("bad", "1 job held by gone#0-1")
        redis.delete(keys.WORKERS)
        assert the(ask(), "leases")[0] == "warning"
    alive(app, "jobs.f", name="w2", version="2.0")
    alive(app, "jobs.f", name="w1")
    assert "different releases of jobq: 1.0, 2.0" in the(ask(), "workers")[1]
    found = redis.hget(keys.WORKERS, "w2")
    assert isinstance(found, bytes)
    seen, _, record = found.partition(b" ")
    redis.hset(keys.WORKERS, "w2", b"%d %b" % (int(seen) - 60_000, record))
    assert the(ask(), "workers")[1].endswith("cut off: w2")
    assert handle.status() == "running"


def test_pauses_schedules_and_the_clock_of_redis(
    ask: Ask, app: JobQ, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive(app, "jobs.f")
    app.send("jobs.f")
    app.store.run(upkeep.regroup("default"))
    app.store.run(pause.pause("default", "jobs.f", by="ada"))
    app.schedules.add("nightly", app.options().s("jobs.f"), every="1h")
    assert [row["check"] for row in ask()] == ["persistence"]
    monkeypatch.setattr(queue_rules, "FORGOTTEN", -1.0)
    monkeypatch.setattr(queue_rules, "LATE", -7200.0)
    rows = ask()
    assert the(rows, "pauses")[1].startswith("paused (jobs.f) for ")
    assert the(rows, "schedules")[1].startswith("schedule nightly should have ticked ")
    (row,) = app.store.run(schedules.page("default")).rows
    app.store.run(schedules.problem("default", "nightly", row.revision, "no such zone"))
    assert the(ask(), "schedules") == ("bad", "schedule nightly does not tick: no such zone")
    soon = app.store.run(upkeep.time_ms()) + 60_000
    redis.xadd(keys.jobs("default"), {"a": "b"}, id=f"{soon}-0")
    assert "in the future" in the(ask(), "clock")[1]


def test_keys_that_nobody_looks_after(ask: Ask, app: JobQ, redis: Redis) -> None:
    app.send("jobs.f")
    alive(app, "jobs.f")
    app.store.run(upkeep.regroup("default"))
    assert [row["check"] for row in ask()] == ["persistence"]
    tag = keys.meta("lost")
    redis.hset(tag, "a", "b")
    redis.set(keys.result("default", "j1"), "x")
    redis.set(keys.meta("default") + "x", "x")
    redis.sadd(keys.QUEUES, "no queue")
    redis.set(keys.pauses("lost"), "x")
    redis.set("another:key", "x")
    rows = [row for row in ask() if row["check"] == "keys"]
    said = {str(row["message"]).rpartition(": ")[2]: row["level"] for row in rows}
    assert said == {
        keys.pauses("lost"): "bad",
        "lost": "warning",
        keys.result("default", "j1"): "warning",
        keys.meta("default") + "x": "warning",
        "no queue": "warning",
    }
    redis.set(keys.index("default"), "x") if redis.delete(keys.index("default")) else None
    assert "cannot be counted" in the(ask("--scan", "0"), "queue")[1]
    redis.flushall()


def test_rights(ask: Ask, start_server: StartServer) -> None:
    server = start_server()
    users = lines_of_the_guide()
    for words in users.values():
        server.cli(*words)
    server.cli("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "-@all", "+ping", "+time",
               "+client|setname", "+evalsha", "+script|load", "+eval", "+hgetall")  # fmt: skip

    def asked(user: str, word: str) -> list[Row]:
        return ask("--url", f"unix://{user}:{word}@{server.socket}")

    told = {user: asked(user, password(users[user])) for user in users}
    assert not [row for row in told["jobq-worker"] if row["check"] in {"rights", "commands"}]
    if not server.connect().info("server")["redis_version"].startswith("6."):
        level, what = the(told["jobq-producer"], "rights")
        assert (level, "may do what a producer needs; a worker also needs" in what) == (
            "warning",
            True,
        )
        assert not [row for row in told["jobq-reader"] if row["check"] == "rights"]
        level, what = the(asked("nobody", "secret"), "rights")
        assert (level, "user nobody may not even look" in what) == ("bad", True)


def lines_of_the_guide() -> dict[str, list[str]]:
    found = re.findall(r"^ACL SETUSER .*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return {words[2]: words for words in map(shlex.split, found)}


def password(words: list[str]) -> str:
    return next(word[1:] for word in words if word.startswith(">"))


def test_the_roles_are_those_of_the_guide() -> None:
    for user, words in lines_of_the_guide().items():
        rights = {word[1:] for word in words if word.startswith("+")}
        assert set(diagnose.ROLES[user.removeprefix("jobq-")].split()) == rights, user


@pytest.mark.slow
def test_commands_that_are_not_there(ask: Ask, start_server: StartServer, tmp_path: Path) -> None:
    file = tmp_path / "more.conf"
    file.write_text('rename-command XCLAIM ""\n', encoding="ascii")
    server = start_server({"include": str(file)})
    assert the(ask("--url", server.url), "commands") == ("bad", "Redis does not have xclaim")


@pytest.mark.slow
def test_a_cluster(ask: Ask, start_server: StartServer) -> None:
    server = start_server({"cluster-enabled": "yes", "port": str(free_port())})
    assert the(ask("--url", server.url), "cluster")[0] == "bad"


@pytest.mark.slow
def test_replicas(ask: Ask, start_server: StartServer) -> None:
    port = free_port()
    master = start_server({"port": str(port), "repl-diskless-sync-delay": "0"})
    replica = start_server()
    replica.cli("REPLICAOF", "127.0.0.1", str(port))
    wait_until(
        lambda: "failover" in str(the_or_none(ask("--url", master.url), "replicas")),
        "the replica follows",
    )
    replica.pause()
    replica.kill()
    master.cli("CONFIG", "SET", "min-replicas-to-write", "1")
    assert the_or_none(ask("--url", master.url), "replicas") in {None, "warning"}


def the_or_none(rows: list[Row], check: str) -> str | None:
    return next((str(row["message"]) for row in rows if row["check"] == check), None)


@pytest.mark.slow
def test_what_cannot_be_written(ask: Ask, start_server: StartServer) -> None:
    server = start_server()
    (server.folder / "dump.rdb").mkdir()
    server.cli("BGSAVE")
    wait_until(
        lambda: "the last snapshot failed" in the(ask("--url", server.url), "persistence")[1],
        "it has failed",
    )


@pytest.mark.slow
def test_connections(ask: Ask, start_server: StartServer) -> None:
    server = start_server()
    server.cli("CONFIG", "SET", "maxclients", "10")
    for _ in range(8):
        server_connection = socket.socket(socket.AF_UNIX)
        server_connection.connect(str(server.socket))
        OPEN.append(server_connection)
    try:
        assert the(ask("--url", server.url), "connections")[0] == "warning"
    finally:
        while OPEN:
            OPEN.pop().close()


OPEN: list[socket.socket] = []


@pytest.mark.slow
def test_what_was_evicted_is_told(ask: Ask, start_server: StartServer) -> None:
    server = start_server()
    used = int(server.connect().info("memory")["used_memory"])
    server.cli("CONFIG", "SET", "maxmemory", str(used + 2_000_000))
    server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    for number in range(60):
        server.cli("SET", f"k{number}", b"x" * 100_000)
    assert "it has deleted" in the(ask("--url", server.url), "eviction")[1]


def test_the_embedded_directory(
    ask: Ask, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("JOBQ_HOME", str(home))
    monkeypatch.setenv("JOBQ_SERVER_BIN", "/nowhere/valkey-server")
    rows = ask()
    level, what = the(rows, "embedded")
    assert (level, what.startswith("JOBQ_SERVER_BIN cannot be used")) == ("bad", True)
    assert the(rows, "connection")[0] == "bad"
    home.mkdir(mode=0o755, exist_ok=True)
    home.chmod(0o755)
    (home / "another").touch()
    faults = {row["message"] for row in ask() if row["check"] == "embedded"}
    assert f"others may look into {home}" in faults


def test_libraries(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("redis", "5.0.1"), ("hiredis", "9.1.0")):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JOBQ_REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    levels = {row["level"]: row["message"] for row in ask() if row["check"] == "libraries"}
    assert levels == {
        "bad": "redis 5.0.1: too old for jobq",
        "warning": "hiredis 9.1.0: newer than jobq was tested with",
    }


def test_an_old_server(start_server: StartServer) -> None:
    with JobQ(start_server().url) as app:
        info = app.store.run(diagnose.info())
    name = "valkey_version" if "valkey_version" in info else "redis_version"
    found = {one.check: one for one in server_rules.examine({**info, name: "6.0.20"}, {})}
    assert found["version"].level == "bad"
    assert server_rules.rights("u", None).level == "ok"
    loading = {one.check: one for one in server_rules.examine({**info, "loading": "1"}, {})}
    assert loading["persistence"].level == "bad"


def test_the_guide_has_each_check() -> None:
    made = {
        node.args[0].value
        for path in source.modules()
        if "/doctor/" in source.name(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Finding", "unasked"}
        and isinstance(node.args[0], ast.Constant)
    }
    table = (GUIDE.parent / "doctor.md").read_text(encoding="utf-8").partition("## What it looks")
    assert made == set(re.findall(r"^\| `([a-z ]+)` \|", table[2], re.MULTILINE))
