"""Whoever dies, and whatever is left behind or taken away: `ensure` ends with a server and data."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobq.embedded import keeper
from tests.embedded.homes import Home, User, free
from tests.support.wait import wait_until

#: The fast suite has three minutes.
pytestmark = pytest.mark.slow

#: A user that sets x, and for each line on its stdin calls `ensure` and gets x.
GETS_X = """
ask(b'SET', b'x', b'1')
print("set", flush=True)
for _ in sys.stdin:
    assert ensure() == path
    print(ask(b'GET', b'x'), flush=True)
"""
X_IS_1 = repr(b"$1\r\n1\r\n")


@pytest.fixture
def user(home: Home) -> User:
    """A user that has set x, on a server that the keeper knows to be well."""
    return well(home)


def well(home: Home) -> User:
    user = home.attached(GETS_X)
    assert user.say() == "set"
    wait_until(lambda: keeper.READY in home.log(), "the keeper knows that the server is ready")
    return user


def kill_keeper(home: Home) -> None:
    os.kill(home.pid("keeper"), signal.SIGKILL)
    wait_until(lambda: free(home.path / keeper.KEEPER_LOCK), "the keeper is dead")


def get_x(user: User) -> str:
    user.go_on()
    return user.say()


def test_the_keeper_restarts_a_killed_server(home: Home, user: User) -> None:
    server, keeper_pid = home.pid("pid"), home.pid("keeper")
    os.kill(server, signal.SIGKILL)
    # By itself: nobody calls ensure.
    wait_until(lambda: home.pid("pid") != server and home.answers(), "another server answers")
    assert home.pid("keeper") == keeper_pid
    assert get_x(user) == X_IS_1
    assert user.finish()[1].count("\n") == 1


def test_a_server_that_is_killed_again_and_again_comes_back(home: Home, user: User) -> None:
    for _ in range(3):
        os.kill(home.pid("pid"), signal.SIGKILL)
        assert get_x(user) == X_IS_1


def test_ensure_replaces_a_killed_keeper(home: Home, user: User) -> None:
    before = home.pid("keeper"), home.pid("pid")
    kill_keeper(home)
    assert get_x(user) == X_IS_1
    assert home.pid("keeper") != before[0]
    assert home.pid("pid") != before[1]
    user.finish()
    home.until_gone()


def test_ensure_replaces_a_killed_keeper_and_server(home: Home, user: User) -> None:
    os.kill(home.pid("pid"), signal.SIGKILL)
    kill_keeper(home)
    assert get_x(user) == X_IS_1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the server")
def test_a_killed_keeper_takes_its_server_along(home: Home, user: User) -> None:
    kill_keeper(home)
    home.until_gone()


def test_a_server_without_a_keeper_is_replaced(home: Home, embedded_binary: Path) -> None:
    home.run("ask(b'SET', b'x', b'1')")
    home.until_gone()
    lock = keeper.open_lock(str(home.path / keeper.SERVER_LOCK))
    fcntl.flock(lock, fcntl.LOCK_EX)
    words = (embedded_binary, "--port", "0", "--unixsocket", home.socket, "--dir", home.path)
    with subprocess.Popen(
        [*words, "--appendonly", "yes", "--save", "", "--aof-use-rdb-preamble", "no"],
        pass_fds=(lock,),
        stdout=subprocess.DEVNULL,
    ) as orphan:
        os.close(lock)
        wait_until(home.answers, "the orphan answers")
        lines, _ = home.run("print(ask(b'GET', b'x'))")
        assert lines == [X_IS_1]
        assert orphan.wait(10) == 0
    assert home.pid("pid") != orphan.pid


def test_a_removed_socket_comes_back(home: Home, user: User) -> None:
    home.socket.unlink()
    assert get_x(user) == X_IS_1


def test_a_removed_directory_of_a_socket_comes_back(make_home: Callable[..., Home]) -> None:
    home = make_home("long" * 50)
    home.env["XDG_RUNTIME_DIR"] = str(home.path.parent)
    user = well(home)
    shutil.rmtree(home.socket.parent)
    assert get_x(user) == X_IS_1


def test_a_removed_home_is_made_again_and_the_old_server_does_no_harm(
    home: Home, user: User
) -> None:
    with (home.path / keeper.SERVER_LOCK).open("r+b") as lock:
        shutil.rmtree(home.path)
        assert get_x(user) == repr(b"$-1\r\n")
        wait_until(lambda: keeper.try_lock(lock.fileno(), fcntl.LOCK_EX), "the old server is gone")
    assert home.answers()
    assert get_x(user) == repr(b"$-1\r\n")


def test_a_removed_home_gets_no_server_again_from_its_old_keeper(home: Home, user: User) -> None:
    server = home.pid("pid")
    with (home.path / keeper.KEEPER_LOCK).open("r+b") as lock:
        shutil.rmtree(home.path)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: keeper.try_lock(lock.fileno(), fcntl.LOCK_EX), "the keeper is gone")
    assert not home.path.exists()


def test_what_a_crash_leaves_behind_is_no_hindrance(home: Home) -> None:
    home.run("ask(b'SET', b'x', b'1')")
    home.until_gone()
    (home.path / keeper.RECORD).write_text('{"socket": 7, "pid": [')
    (home.path / keeper.KEEPER_LOCK).write_text(f"{os.getpid()} nonsense\n")
    home.socket.write_text("not a socket")
    lines, _ = home.run("print(ask(b'GET', b'x'))")
    assert lines == [X_IS_1]


def test_a_second_keeper_ends_at_once(home: Home, user: User) -> None:
    words = [str(home.path), str(home.socket), "-", "none", "0", "0", "/bin/false"]
    second = subprocess.run([sys.executable, "-I", "-S", keeper.__file__, *words], check=False)
    assert second.returncode == keeper.SECOND_KEEPER
    assert get_x(user) == X_IS_1


def test_a_process_that_closed_all_its_files_takes_a_new_lease(home: Home) -> None:
    user = home.attached(
        """
        os.closerange(3, 100)
        assert ensure() == path
        print("again", flush=True)
        """
    )
    assert user.say() == "again"
    with (home.path / keeper.LEASE_LOCK).open("r+b") as lease:
        assert not keeper.try_lock(lease.fileno(), fcntl.LOCK_EX)


def test_signals_that_the_starter_ignores_or_blocks_reach_the_keeper(home: Home) -> None:
    code = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
from jobq.embedded import ensure
ensure()
"""
    subprocess.run([sys.executable, "-c", code], env=home.env, check=True, capture_output=True)
    home.until_gone()


def test_a_server_that_cannot_read_its_data_is_an_error_that_quotes_the_log(home: Home) -> None:
    home.run("ask(b'SET', b'x', b'1')")
    home.until_gone()
    for file in (home.path / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"garbage\r\n" + file.read_bytes())
    user = home.user()
    _, error = user.communicate("")
    assert user.returncode == 1
    assert "ServerError: " in error
    assert f"does not start in {home.path}." in error
    assert "  keeper: giving up" in error
    assert "appendonly" in error


def test_a_keeper_does_not_give_up_a_server_that_was_well(home: Home, user: User) -> None:
    files = list((home.path / "appendonlydir").glob("*.incr.aof"))
    good = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(b"garbage\r\n")
    os.kill(home.pid("pid"), signal.SIGKILL)
    wait_until(lambda: home.log().count(keeper.STARTING) >= 3, "it tried again")
    for file, data in zip(files, good, strict=True):
        file.write_bytes(data)
    assert get_x(user) == X_IS_1
    assert home.log().count("giving up") == 0
