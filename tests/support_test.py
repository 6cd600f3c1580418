"""What the tests stand on must hold by itself."""

import socket
import time

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.conftest import Spawn, StartServer
from tests.support.keys import leaks
from tests.support.proxy import Proxy
from tests.support.resp import Splitter
from tests.support.server import Server
from tests.support.source import ROOT
from tests.support.wait import await_until, wait_until


def through(proxy: Proxy, **options: float) -> Redis:
    client: Redis = Redis.from_url(proxy.url, retry=None, protocol=2, **options)
    return client


# ---------------------------------------------------------------------------- waiting


def test_wait_until_returns_the_first_true_answer() -> None:
    answers = iter([0, "", None, "here"])
    assert wait_until(lambda: next(answers), "it is here") == "here"


def test_wait_until_tells_what_it_waited_for_and_what_it_saw() -> None:
    with pytest.raises(AssertionError, match=r"0\.01 s in vain until pigs fly; last seen: 0"):
        wait_until(lambda: 0, "pigs fly", timeout=0.01)


async def test_await_until_takes_both_kinds_of_facts() -> None:
    answers = iter([0, 7])

    async def fact() -> int:
        return next(answers)

    assert await await_until(fact, "seven") == 7
    assert await await_until(lambda: 8, "eight") == 8
    with pytest.raises(AssertionError, match="until nine"):
        await await_until(lambda: None, "nine", timeout=0.01)


# ---------------------------------------------------------------------------- server


def test_a_restart_keeps_data_only_with_appendonly(start_server: StartServer) -> None:
    kept, lost = start_server(appendonly=True), start_server()
    for server in (kept, lost):
        server.cli("SET", "k", "v")
    kept.kill()
    assert not kept.running
    kept.start()
    lost.restart()
    assert kept.cli("GET", "k") == b"v"
    assert lost.cli("GET", "k") is None


def test_a_server_takes_settings_even_a_password(start_server: StartServer) -> None:
    server = start_server({"requirepass": "xyzzy", "maxmemory": "20mb"})
    assert server.cli("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"20971520"]
    with server.connect(password="wrong") as client, pytest.raises(AuthenticationError):
        client.ping()


def test_a_server_dies_with_the_tests_that_started_it(spawn: Spawn) -> None:
    child = spawn("python", "-c", START_AND_WAIT, env={"PYTHONPATH": str(ROOT)})
    pid = int(child.wait_for_line(r"^pid (\d+)$")[1])
    path = child.wait_for_line(r"^socket (.+)$")[1]
    child.kill()
    wait_until(lambda: not _listens(path), f"server {pid} is gone")


START_AND_WAIT = """
import sys
from tests.support.server import Server
server = Server()
server.start()
print("pid", server.pid)
print("socket", server.socket)
sys.stdout.flush()
server._process.wait()
"""


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def test_a_frozen_server_answers_late(server: Server) -> None:
    server.pause()
    try:
        with server.connect(socket_timeout=0.05) as client, pytest.raises(RedisTimeoutError):
            client.ping()
    finally:
        server.resume()
    assert server.cli("PING") == b"PONG"


def test_cli_gives_the_plain_reply(server: Server) -> None:
    server.cli("XADD", "jobq:{q}:jobs", "1-1", "f", "v")
    server.cli("XGROUP", "CREATE", "jobq:{q}:jobs", "workers", "0")
    assert server.cli("XPENDING", "jobq:{q}:jobs", "workers", "-", "+", "10") == []
    with pytest.raises(ResponseError, match="wrong number of arguments"):
        server.cli("GET")


# ---------------------------------------------------------------------------- keys


def test_documented_keys_and_keys_that_end_are_no_leaks(redis: Redis) -> None:
    for name in ("jobs", "retries", "dead", "due", "delayed", "index", "meta", "lanes", "history"):
        redis.set(f"jobq:{{mail}}:{name}", 1)
    for name in ("queues", "workers", "control"):
        redis.set(f"jobq:{name}", 1)
    redis.set("jobq:{mail}:result:1", 1, ex=100)
    redis.set("anything", 1, ex=100)
    assert leaks(redis) == []


def test_other_keys_are_leaks(redis: Redis) -> None:
    names = ["jobq:{mail}:result:1", "jobq:{mail}:jobs:x", "jobq:mail:jobs", "jobq:secret", "k"]
    for name in names:
        redis.set(name, 1)
    assert sorted(leaks(redis)) == sorted(names)
    redis.delete(*names)


# ---------------------------------------------------------------------------- proxy


def test_commands_are_split_wherever_the_chunks_break() -> None:
    first, second = b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"
    stream = first + second
    for size in range(1, len(stream) + 1):
        splitter = Splitter()
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        commands = [found for chunk in chunks for found in splitter.feed(chunk)]
        assert commands == [((b"GET", b"\r\n"), first), ((b"PING",), second)]


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_a_proxy_lets_all_through(server: Server, listen: str) -> None:
    with Proxy(server.url, "unix" if listen == "unix" else "tcp") as proxy, through(proxy) as redis:
        redis.set("k", b"x" * 1_000_000, ex=100)
        assert redis.strlen("k") == 1_000_000
        assert proxy.connections == 1
        assert (b"STRLEN", b"k") in proxy.commands


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_cut_after_request_executes_and_loses_the_answer(
    proxy: Proxy, redis: Redis, skip: int
) -> None:
    with through(proxy) as client:
        fault = proxy.cut_after_request("incrby", skip=skip)
        for _ in range(skip):
            client.incr("k")
        with pytest.raises(RedisConnectionError):
            client.incr("k")
        fault.wait()
        assert fault.command == (b"INCRBY", b"k", b"1")
        assert redis.get("k") == str(skip + 1).encode()
        assert client.incr("k") == skip + 2, "a new connection works, the fault is over"
    redis.delete("k")


def test_cut_before_request_executes_nothing(proxy: Proxy, redis: Redis) -> None:
    with through(proxy) as client:
        client.ping()
        fault = proxy.cut_before_request("INCRBY")
        with pytest.raises(RedisConnectionError):
            client.incr("k")
        fault.wait()
    assert redis.get("k") is None


def test_a_cut_in_a_pipeline_keeps_what_stands_before_it(proxy: Proxy, redis: Redis) -> None:
    with through(proxy) as client, client.pipeline(transaction=False) as pipe:
        fault = proxy.cut_before_request("INCRBY", skip=50)
        for _ in range(100):
            pipe.incr("k")
        with pytest.raises(RedisConnectionError):
            pipe.execute()
        fault.wait()
    assert redis.get("k") == b"50"
    redis.delete("k")


def test_a_lost_reply_leaves_the_line_open(proxy: Proxy, redis: Redis) -> None:
    with through(proxy, socket_timeout=0.1) as client:
        client.ping()
        fault = proxy.lose_reply("INCRBY")
        with pytest.raises(RedisTimeoutError):
            client.incr("k")
        assert fault.fired
    assert redis.get("k") == b"1"
    redis.delete("k")


def test_a_cut_amid_a_reply_lets_so_many_bytes_through(proxy: Proxy, redis: Redis) -> None:
    redis.set("k", "x" * 1000)
    with through(proxy) as client:
        client.ping()
        fault = proxy.cut_amid_reply("GET", after=10)
        with pytest.raises(RedisConnectionError):
            client.get("k")
        fault.wait()
        assert client.get("k") == b"x" * 1000
    redis.delete("k")


def test_a_half_closed_line_is_known_to_one_side_only(proxy: Proxy, redis: Redis) -> None:
    with through(proxy, socket_timeout=0.2) as client:
        name = client.client_id()
        assert proxy.half_close("client") == 1
        assert client.client_id() != name  # it has seen the end, and connects anew
        assert name in {int(one["id"]) for one in redis.client_list()}
    with through(proxy, socket_timeout=0.2) as client:
        name = client.client_id()
        proxy.half_close("server")
        wait_until(
            lambda: name not in {int(one["id"]) for one in redis.client_list()}, "it hung up"
        )
        with pytest.raises(RedisTimeoutError):
            client.ping()


def test_a_black_hole_takes_and_never_gives(proxy: Proxy, redis: Redis) -> None:
    with through(proxy, socket_timeout=0.1) as client:
        client.ping()
        proxy.black_hole()
        with pytest.raises(RedisTimeoutError):
            client.set("k", 1, ex=100)
        assert redis.get("k") is None
        proxy.restore()
        wait_until(lambda: redis.get("k"), "what was held back has passed")
        assert client.ping()


def test_cut_refuse_and_accept(proxy: Proxy) -> None:
    with through(proxy) as client:
        client.ping()
        assert proxy.cut() == 1
        wait_until(lambda: proxy.connections == 0, "the connection is gone")
        proxy.refuse()
        with pytest.raises(RedisConnectionError):
            client.ping()
        proxy.accept()
        assert client.ping()


def test_a_delay_makes_answers_late(proxy: Proxy) -> None:
    with through(proxy) as client:
        client.ping()
        proxy.delay(0.05)
        started = time.monotonic()
        client.ping()
        assert time.monotonic() - started >= 0.05


def test_a_proxy_of_a_server_that_is_down_refuses(start_server: StartServer) -> None:
    server = start_server()
    with Proxy(server.url) as proxy, through(proxy) as client:
        server.kill()
        with pytest.raises(RedisConnectionError):
            client.ping()
        server.start()
        assert client.ping()


# ---------------------------------------------------------------------------- processes


def test_a_child_is_heard_line_by_line(spawn: Spawn) -> None:
    child = spawn("python", "-c", "import sys; print('a 1'); print('b', file=sys.stderr); input()")
    assert child.wait_for_line(r"a (\d)")[1] == "1"
    child.wait_for_line("^b$")
    assert child.wait() == 1, "its stdin is empty"
    assert child.out == ["a 1"]
    assert "EOFError" in child.text


def test_waiting_for_a_line_of_a_child_that_ended_tells_its_story(spawn: Spawn) -> None:
    child = spawn("python", "-c", "print('only this'); raise SystemExit(3)")
    with pytest.raises(AssertionError, match=r"(?s)ended without.*exit code 3.*only this"):
        child.wait_for_line("something else")
    with pytest.raises(AssertionError, match="exit code 3"):
        child.check()


def test_a_child_that_stays_is_killed_with_its_children(spawn: Spawn) -> None:
    child = spawn("sh", "-c", "sleep 1000 & echo grandchild $!; wait")
    child.wait_for_line(r"grandchild \d+")
    with pytest.raises(AssertionError, match=r"still runs after 0\.01 s"):
        child.wait(timeout=0.01)
    child.kill_group()
    assert child.wait() == -9
    assert not child.running
