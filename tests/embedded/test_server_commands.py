"""`jobq server`: start, stop, status, logs, path, as a person uses them."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result

from jobq.cli.server import server
from jobq.embedded import keeper
from jobq.errors import ServerError
from tests.embedded.homes import Home
from tests.support.process import Child
from tests.support.wait import wait_until

RUN = "from jobq.cli.server import server; server(prog_name='jobq server')"

Command = Callable[..., Child]
Here = Callable[..., Result]


@pytest.fixture
def command(home: Home) -> Iterator[Command]:
    """Start `jobq server …` for the home."""
    with ExitStack() as stack:

        def start(*words: str) -> Child:
            child = Child(sys.executable, "-W", "error", "-c", RUN, *words, env=home.env)
            return stack.enter_context(child)

        yield start


@pytest.fixture
def here(home: Home, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run `jobq server …` to its end, in this process, which is quicker."""
    monkeypatch.setenv("JOBQ_HOME", str(home.path))
    return lambda *words: CliRunner().invoke(server, words)


def test_start_holds_the_server_until_a_signal(home: Home, command: Command) -> None:
    holder = command("start")
    holder.wait_for_line("Ctrl-C")
    assert holder.out == [f"unix://{home.socket}"]
    assert home.answers()
    holder.terminate()
    assert holder.wait() == 0
    home.until_gone()


def test_start_brings_back_a_server_whose_keeper_was_killed(home: Home, command: Command) -> None:
    holder = command("start")
    holder.wait_for_line("Ctrl-C")
    first = home.pid("keeper")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: home.pid("keeper") != first and home.answers(), "another server answers")
    holder.signal(signal.SIGINT)
    assert holder.wait() == 0


def test_stop_ends_the_server_and_who_holds_it(home: Home, command: Command) -> None:
    holder = command("start")
    holder.wait_for_line("Ctrl-C")
    stopped = command("stop")
    stopped.check()
    assert stopped.err == [f"Stopped the server in {home.path}; its data are kept."]
    assert home.gone()
    assert holder.wait() == 0
    assert "stopped by `jobq server stop`" in holder.text


def test_a_user_starts_a_stopped_server_again(home: Home, command: Command) -> None:
    user = home.attached(
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            print("connected", flush=True)
            sys.stdin.readline()
        print(ensure() == path, flush=True)
        """
    )
    assert user.say() == "connected"
    stopped = command("stop")
    stopped.check()
    assert "1 connection was open" in stopped.err[1]
    user.go_on()
    assert user.say() == "True"
    assert home.answers()


def test_stop_of_nothing(home: Home, here: Here) -> None:
    stopped = here("stop")
    assert stopped.exit_code == 0
    assert stopped.stderr == f"No server runs in {home.path}.\n"
    assert not home.path.exists()


def test_status(home: Home, here: Here) -> None:
    before = here("status")
    assert before.exit_code == 3
    assert before.stdout.startswith("state    not running (absent)\n")
    user = home.attached("ask(b'SET', b'x', b'1' * 2000)\nprint('set', flush=True)")
    assert user.say() == "set"
    shown = here("status").stdout
    assert shown.startswith("state    ready\n")
    for word in ("server", "pid", "uptime", "memory", "clients", str(home.path), "unix://"):
        assert word in shown
    told = json.loads(here("status", "--json").stdout)
    assert told["running"]
    assert (told["pid"], told["keeper"]) == (home.pid("pid"), home.pid("keeper"))
    assert told["version"].count(".") == 2
    assert told["memory"] > 100_000
    assert told["clients"] == 0
    assert told["data_bytes"] > 2000
    user.finish()
    home.until_gone()
    after = here("status", "--json")
    assert after.exit_code == 3
    told = json.loads(after.stdout)
    assert not told["running"]
    assert told["pid"] is told["memory"] is None
    assert told["server"] in ("valkey", "redis")


def test_path(home: Home, here: Here) -> None:
    url = f"unix://{home.path}/redis.sock"
    assert here("path").stdout.splitlines() == [url, str(home.path)]
    assert json.loads(here("path", "--json").stdout) == {"url": url, "home": str(home.path)}
    assert not home.path.exists()


def test_logs(home: Home, here: Here) -> None:
    missing = here("logs")
    assert isinstance(missing.exception, ServerError)
    assert "no server was ever started there" in str(missing.exception)
    home.run()
    home.until_gone()
    lines = home.log().splitlines()
    assert here("logs", "-n", "3").stdout.splitlines() == lines[-3:]
    assert here("logs", "-n", "0").stdout == ""
    assert here("logs").stdout.splitlines() == lines[-50:]


def test_logs_that_are_followed_go_on_in_a_new_file(home: Home, command: Command) -> None:
    home.run()
    home.until_gone()
    log = home.path / keeper.LOG
    following = command("logs", "-n", "1", "-f")
    wait_until(lambda: following.out, "it shows the end")
    with log.open("a") as file:
        file.write("one more\n")
    following.wait_for_line("one more")
    log.rename(log.with_suffix(".log.1"))
    log.write_text("a new file\n")
    following.wait_for_line("a new file")
