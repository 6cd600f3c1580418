"""The app: where its Redis is, calls by name, handles, types of one's own, its end."""

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobq import JobQ
from jobq.embedded import find_server
from jobq.errors import (
    ArgumentError,
    ConfigError,
    JobNotFound,
    NotEncodable,
    OptionError,
    ServerError,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from tests.client.hand import Hand
from tests.conftest import StartServer
from tests.support.server import Server
from tests.support.wait import wait_until


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def work(value: object = None) -> object:
    return value


# ---------------------------------------------------------------------------- where


def test_making_an_app_opens_nothing() -> None:
    JobQ("redis://127.0.0.1:1").job(work)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://x", "cannot have the scheme 'http'. Forms: redis://"),
        ("redis://x/one", "the database 'one' is not a number"),
        ("embedded:relative", "embedded:///absolute/directory"),
        ("embedded://host/x", "embedded:///absolute/directory"),
        ("", "scheme 'none'"),
    ],
)
def test_a_url_of_another_form_is_refused_at_once(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        JobQ(url)


def test_the_variable_is_read_at_first_use(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    app = JobQ()
    monkeypatch.setenv("JOBQ_REDIS_URL", server.url)
    with app:
        assert app.redis_url() == server.url
        app.job(work, name="work").delay()
        monkeypatch.setenv("JOBQ_REDIS_URL", "redis://elsewhere:1")
        assert app.redis_url() == server.url
    assert app.redis_url() == "redis://elsewhere:1"


def test_a_variable_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", "localhost:6379")
    with pytest.raises(ConfigError, match="scheme 'localhost'"):
        JobQ().job(work, name="work").delay()


def test_where_it_is_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert JobQ("redis://ada:secret@host/2").safe_url() == "redis://ada:***@host:6379/2"
    assert JobQ("embedded:///data/jobq").safe_url() == "embedded:///data/jobq"
    monkeypatch.setenv("JOBQ_HOME", str(tmp_path / "home"))
    assert JobQ().safe_url() == f"embedded://{tmp_path / 'home'}"
    assert JobQ("embedded:").safe_url() == f"embedded://{tmp_path / 'home'}"
    assert not (tmp_path / "home").exists()


EMBEDDED = """
from jobq import default_app, job
@job
def work(): ...
handle = work.delay()
print(default_app.redis_url(), handle.status())
"""


@pytest.mark.parametrize("named", [True, False])
def test_the_embedded_server_is_started_at_the_first_call(tmp_path: Path, named: bool) -> None:
    try:
        find_server()
    except ServerError as error:
        pytest.skip(str(error))
    home = tmp_path / "a home"
    env = {**os.environ, "JOBQ_LINGER": "0"}
    env |= {"JOBQ_REDIS_URL": f"embedded://{home}"} if named else {"JOBQ_HOME": str(home)}
    (tmp_path / "script.py").write_text(EMBEDDED)
    said = subprocess.check_output([sys.executable, "script.py"], cwd=tmp_path, env=env, text=True)
    assert said.startswith("unix://")
    assert said.endswith(" ready\n")
    assert (home / "appendonlydir").is_dir()


# ---------------------------------------------------------------------------- by name


def test_a_call_by_name_needs_no_function(app: JobQ, hand: Hand) -> None:
    handle = app.send("mail.send", "ada@example.org", subject="Hi")
    assert handle.queue == "default"
    (call,) = hand.calls()
    assert call == ("mail.send", ["ada@example.org"], {"subject": "Hi"}, {})


async def test_asend_sends_the_same(app: JobQ, hand: Hand) -> None:
    async with app:
        first = await app.asend("mail.send", 1)
        second = await app.options(queue="bulk", job_id="x").asend("mail.send", 2)
    assert (first.queue, second.queue, second.id) == ("default", "bulk", "x")
    assert [call.args for call in hand.calls() + hand.calls("bulk")] == [[1], [2]]


def test_options_come_before_the_name(app: JobQ, hand: Hand) -> None:
    handle = app.options(queue="bulk", retries=0, job_id="mine").send("mail.send")
    assert (handle.queue, handle.id) == ("bulk", "mine")
    assert hand.calls("bulk")[0].headers == {"r": 0}


def test_a_function_that_is_known_here_is_checked_and_has_its_queue(app: JobQ, hand: Hand) -> None:
    app.job(work, name="work", queue="slow")
    assert app.send("work", 1).queue == "slow"
    assert app.options(queue="bulk").send("work", 1).queue == "bulk"
    with pytest.raises(ArgumentError, match="work: too many positional arguments"):
        app.send("work", 1, 2)


def test_the_queue_of_the_app_is_that_of_unknown_functions(server: Server) -> None:
    with JobQ(server.url, queue="own") as app:
        assert app.send("mail.send").queue == "own"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_one(app: JobQ, name: str) -> None:
    with pytest.raises(OptionError, match=r"send\(\): name"):
        app.send(name)


def test_wrong_options_by_name(app: JobQ) -> None:
    with pytest.raises(OptionError, match=r"JobQ.options\(\): unknown option 'retrys'"):
        app.options(retrys=1)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match=r"JobQ\(\): option 'name'|JobQ\(\): unknown option"):
        JobQ(nam="x")  # type: ignore[call-arg]


def test_an_argument_by_name_that_cannot_travel(app: JobQ) -> None:
    with pytest.raises(NotEncodable, match=r"mail.send\(\): argument 2 has type object"):
        app.send("mail.send", 1, object())


# ---------------------------------------------------------------------------- handles


def test_a_handle_is_found_in_whatever_queue(app: JobQ) -> None:
    known = app.options(queue="b").send("x")
    app.options(queue="a").send("x")
    assert app.handle(known.id) == known
    with pytest.raises(JobNotFound, match="'nobody'"):
        app.handle("nobody")


async def test_ahandle_finds_the_same(app: JobQ) -> None:
    async with app:
        known = await app.options(queue="b").asend("x")
        assert await app.ahandle(known.id) == known
        assert (await app.ahandle("nobody", "b")).id == "nobody"
        with pytest.raises(JobNotFound):
            await app.ahandle("nobody")


@pytest.mark.parametrize(("job_id", "queue"), [("a b", None), ("", "a"), ("x", "{}")])
def test_a_handle_of_what_cannot_be(app: JobQ, job_id: str, queue: str | None) -> None:
    with pytest.raises(OptionError):
        app.handle(job_id, queue)


# ---------------------------------------------------------------------------- types


def test_a_type_of_ones_own_travels_both_ways(app: JobQ, hand: Hand) -> None:
    def encode(money: Money) -> int:
        return money.cents

    app.register_type(Money, name="money", encode=encode, decode=Money)
    hand.codec.register_type(Money, name="money", encode=encode, decode=Money)
    handle = app.job(work, name="work").delay(Money(5))
    (taken,) = hand.take()
    (money,) = hand.codec.decode_call(taken.call).args
    assert isinstance(money, Money)
    hand.succeed(taken, Money(money.cents + 1))
    result = handle.result()
    assert isinstance(result, Money)
    assert result.cents == 6


# ---------------------------------------------------------------------------- errors


def nobody_there(tmp_path: Path) -> str:
    return f"unix://:s3cret@{tmp_path}/nobody"


def test_redis_that_is_not_there_is_told_with_the_fix(tmp_path: Path) -> None:
    app = JobQ(nobody_there(tmp_path))
    app.store.patience = 0.0
    problem = r"cannot reach Redis at unix://:\*\*\*@.*No such file.*set JOBQ_REDIS_URL"
    with pytest.raises(StoreUnavailable, match=problem) as failed:
        app.job(work, name="work").delay()
    assert isinstance(failed.value, ConnectionError)
    assert "s3cret" not in whole_story(failed.value)


async def test_redis_that_is_not_there_is_told_to_those_who_await(tmp_path: Path) -> None:
    app = JobQ(nobody_there(tmp_path))
    app.astore._patience = 0.0
    async with app:
        with pytest.raises(
            StoreUnavailable, match=r"cannot reach Redis at unix://:\*\*\*@"
        ) as failed:
            await app.job(work, name="work").adelay()
    assert "s3cret" not in whole_story(failed.value)


@pytest.mark.parametrize("user", ["", "ada"])
def test_a_wrong_password_is_told_and_not_shown(start_server: StartServer, user: str) -> None:
    server = start_server({"requirepass": "right"})
    app = JobQ(server.url.replace("unix://", f"unix://{user}:wr0ng@"))
    with pytest.raises(StoreDenied) as failed:
        app.job(work, name="work").delay()
    assert "wr0ng" not in whole_story(failed.value)
    assert "wr0ng" not in app.safe_url()
    with JobQ(server.url.replace("unix://", "unix://:right@")) as app:
        app.job(work, name="work").delay()


def whole_story(error: BaseException) -> str:
    """Return what an error and all behind it say."""
    said = []
    behind: BaseException | None = error
    while behind is not None:
        said.append(f"{behind!s} {behind!r} {behind.args!r}")
        behind = behind.__cause__ or behind.__context__
    return "\n".join(said)


def test_a_full_redis_takes_nothing(start_server: StartServer) -> None:
    server = start_server({"maxmemory-policy": "noeviction"})
    with JobQ(server.url) as app:
        working = app.job(work, name="work")
        working.delay()
        server.cli("CONFIG", "SET", "maxmemory", "1")
        for call in (
            working.delay,
            lambda: working.map([(1,), (2,)]),
            lambda: working.options(job_id="x").delay(),
            lambda: working.options(queue="new").delay(),
        ):
            with pytest.raises(StoreFull, match=r"out of memory.*nothing was added"):
                call()
        server.cli("CONFIG", "SET", "maxmemory", "0")
        assert server.cli("XLEN", "jobq:{default}:jobs") == 1
        assert set(server.cli("SMEMBERS", "jobq:queues")) == {b"default"}
        working.options(queue="new").delay()
        assert set(server.cli("SMEMBERS", "jobq:queues")) == {b"default", b"new"}


async def test_a_full_redis_takes_nothing_of_those_who_await(start_server: StartServer) -> None:
    server = start_server({"maxmemory-policy": "noeviction"})
    async with JobQ(server.url) as app:
        working = app.job(work, name="work")
        await working.adelay()
        server.cli("CONFIG", "SET", "maxmemory", "1")
        calls = [working.adelay(number) for number in range(20)]
        refused = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in refused} == {StoreFull}
        server.cli("CONFIG", "SET", "maxmemory", "0")
        assert server.cli("XLEN", "jobq:{default}:jobs") == 1
        await working.adelay()
        assert server.cli("XLEN", "jobq:{default}:jobs") == 2


def test_keys_of_a_wrong_type_are_told(app: JobQ, server: Server) -> None:
    server.cli("SET", "jobq:{default}:jobs", "x")
    with pytest.raises(StoreError) as failed:
        app.send("x")
    assert failed.value.code == "WRONGTYPE"
    assert server.cli("EXISTS", "jobq:{default}:index") == 0
    server.cli("FLUSHALL")


# ---------------------------------------------------------------------------- end


def connections(server: Server) -> int:
    return len(server.cli("CLIENT", "LIST").splitlines()) - 1


async def test_closing_closes_and_the_app_can_be_used_again(server: Server) -> None:
    before = connections(server)
    app = JobQ(server.url)
    working = app.job(work, name="work")
    for _ in range(2):
        async with app:
            working.delay()
            await working.adelay()
            assert connections(server) == before + 2
        app.close()
        await app.aclose()
        wait_until(lambda: connections(server) == before, "the server has seen them go")


def test_an_app_that_is_forgotten_goes(server: Server) -> None:
    alive = sum(isinstance(one, JobQ) for one in gc.get_objects())
    app: Any = JobQ(server.url)
    app.send("x")
    app.close()
    del app
    gc.collect()
    assert sum(isinstance(one, JobQ) for one in gc.get_objects()) <= alive
