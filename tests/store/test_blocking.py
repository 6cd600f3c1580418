"""The blocking store: shared by threads, over forks, and interrupted between send and reply."""

import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import enqueue, fetch, inspect
from jobq.store.sync import Store
from jobq.store.wire import Op, as_is
from tests.store.line import Line, problems, waiting
from tests.support.proxy import Proxy
from tests.support.server import Server


def echo(text: str) -> Op[bytes]:
    return Op(("ECHO", text), as_is)


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    connection = Connection(lambda: parse_url(server.url))
    yield connection
    connection.close()


def test_threads_share_a_store(store: Store, server: Server) -> None:
    def enqueue_some(number: int) -> None:
        try:
            for one in range(100):
                store.run(enqueue.enqueue("mail", f"{number}-{one}", b"call"))
                assert store.run(echo(f"{number}-{one}")) == f"{number}-{one}".encode()
        except BaseException as error:
            failures.append(error)
            raise

    failures: list[BaseException] = []
    threads = [threading.Thread(target=enqueue_some, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = waiting(server)
    for number in range(8):
        mine = [name for name in found if name.startswith(f"{number}-")]
        assert mine == [f"{number}-{one}" for one in range(100)]
    assert len(found) == 800
    assert problems(server) == []


def test_a_fork_between_uses(store: Store, server: Server) -> None:
    names = []
    for number in range(3):
        store.run(enqueue.enqueue("mail", f"before{number}", b"call"))
        child = os.fork()
        if child == 0:  # no pytest in the child: it leaves at once
            status = 1
            try:
                store.run(enqueue.enqueue("mail", f"child{number}", b"call"))
                status = 0 if store.run(echo("child")) == b"child" else 2
            finally:
                os._exit(status)
        assert store.run(echo("parent")) == b"parent"
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.run(enqueue.enqueue("mail", f"after{number}", b"call"))
        names += [f"before{number}", f"child{number}", f"after{number}"]
    assert waiting(server) == names


class Interrupt(BaseException):
    """Such as KeyboardInterrupt, or the exception that a signal handler raises in a job."""


@pytest.mark.parametrize("method", ["_receive", "_read", "_read_some", "_answers", "_send"])
@pytest.mark.parametrize("pipelined", [False, True], ids=["run", "exchange"])
def test_an_interruption_shifts_no_reply(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, method: str, pipelined: bool
) -> None:
    def ask(text: str) -> bytes:
        if pipelined:
            answers: list[bytes] = connection.exchange([echo(text)])
            return answers[0]
        return connection.run(echo(text))

    assert ask("one") == b"one"
    with monkeypatch.context() as patch:

        def interrupted(*_args: object) -> None:
            raise Interrupt

        patch.setattr(connection, method, interrupted)
        with contextlib.suppress(Interrupt):
            ask("two")
    assert ask("three") == b"three"
    assert ask("four") == b"four"


def test_an_interruption_of_the_greeting(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("_send", "_receive", "_trip"):
        with monkeypatch.context() as patch:

            def interrupted(*_args: object) -> None:
                raise Interrupt

            patch.setattr(connection, method, interrupted)
            with pytest.raises(Interrupt):
                connection.run(echo("one"))
        assert connection.run(echo("two")) == b"two"
        connection.close()


def test_begin_without_finish(connection: Connection) -> None:
    """A loop that was interrupted between the two starts afresh."""
    connection.begin([echo("one"), echo("two")])
    assert connection.exchange([echo("three")]) == [b"three"]


def test_words_that_cannot_be_sent(connection: Connection) -> None:
    assert connection.run(echo("a")) == b"a"
    with pytest.raises(UnicodeEncodeError):
        connection.run(echo("\ud800"))
    assert connection.run(echo("b")) == b"b"


def test_a_large_reply_and_a_large_command(connection: Connection) -> None:
    large = "x" * 3_000_000
    assert connection.run(echo(large)) == large.encode()
    assert connection.exchange([echo(large), echo("b")]) == [large.encode(), b"b"]
    assert connection.run(echo("c")) == b"c"


def test_an_exchange_tells_each_op_what_it_came_to(connection: Connection, server: Server) -> None:
    server.cli("SET", "text", "x", "PX", 60_000)
    wrong: Op[object] = Op(("XLEN", "text"), as_is)
    ok, refused, last = connection.exchange([echo("a"), wrong, echo("b")])
    assert (ok, refused.code, last) == (b"a", "WRONGTYPE", b"b")


@pytest.mark.parametrize("skip", range(4))
def test_an_exchange_that_is_cut_does_nothing_twice(
    proxy: Proxy, server: Server, skip: int
) -> None:
    store = Store(lambda: parse_url(proxy.url), patience=10.0)
    line = Line(store.run).open()
    line.add("a", "b", "c")
    fault = proxy.cut_after_request("EVALSHA", skip=skip)
    for name in ("d", "e", "f", "g"):
        line.add(name)
    fault.wait()
    store.close()
    assert waiting(server) == ["a", "b", "c", "d", "e", "f", "g"]


def test_a_changed_key_is_told(store: Store, server: Server) -> None:
    with store.listening() as connection:
        assert connection.run(inspect.result("mail", "a")) is None
        if hasattr(connection, "run_watched"):
            connection.run_watched(inspect.result("mail", "a"))
        assert not connection.wait_push(0.01)
        server.cli("SET", "jobq:{mail}:result:a", "x", "PX", 60_000)
        assert connection.wait_push(5.0)
        assert connection.run(inspect.result("mail", "a")) == b"x"


def test_a_closed_store_can_be_used_again(store: Store) -> None:
    assert store.run(echo("a")) == b"a"
    store.close()
    store.close()
    assert store.run(echo("b")) == b"b"


def test_a_blocking_read_may_last_longer_than_a_reply(
    connection: Connection, mail: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobq.store.connection.REPLY_TIMEOUT", 0.2)
    mail.add("a")
    read = fetch.read("mail", "w1", 1, 0.5)
    assert len(connection.exchange([read])[0]) == 1
    assert connection.exchange([read]) == [[]]
