"""One server for all processes of a project, for as long as one of them lives."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from jobq.embedded import keeper
from tests.embedded.homes import Home
from tests.support.wait import wait_until

ADD_100 = """
for n in range(100): ask(b'XADD', b's', b'*', b'n', b'%d' % n)
print("done", flush=True)
"""


def test_eight_racing_users_end_with_one_server_and_all_data(home: Home) -> None:
    users = [home.user(ADD_100) for _ in range(8)]
    for user in users:
        assert user.say() == str(home.socket)
        assert user.say() == "done"
    assert home.run("print(ask(b'XLEN', b's'))")[0] == [repr(b":800\r\n")]
    errors = "".join(user.finish()[1] for user in users)
    assert errors.count("\n") == 1
    assert errors.startswith("jobq: started a private ")
    assert home.log().count(keeper.STARTING) == 1


def test_it_ends_after_the_linger_and_keeps_the_data(home: Home) -> None:
    _, error = home.run("ask(b'SET', b'x', b'1')")
    assert f"data in {home.path}" in error
    assert "JOBQ_REDIS_URL" in error
    home.until_gone()
    assert not home.socket.exists()
    lines, error = home.run("print(ask(b'GET', b'x'))")
    assert lines == [repr(b"$1\r\n1\r\n")]
    assert error.count("started a private") == 1


def test_a_newcomer_within_the_linger_finds_the_server_and_says_nothing(
    make_home: Callable[..., Home],
) -> None:
    home = make_home(linger=60)
    home.run()
    pid = home.pid("pid")
    assert home.run()[1] == ""
    assert home.pid("pid") == pid


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_newcomer_that_stays_ends_the_linger(make_home: Callable[..., Home]) -> None:
    home = make_home(linger=0.5)
    home.run()
    pid = home.pid("pid")
    threads = f"/proc/{home.pid('keeper')}/task"
    wait_until(lambda: len(os.listdir(threads)) == 1, "the keeper lingers")  # noqa: PTH208
    with (home.path / keeper.LEASE_LOCK).open("r+b") as lease:
        assert keeper.try_lock(lease.fileno(), fcntl.LOCK_SH)
        wait_until(lambda: len(os.listdir(threads)) == 2, "it awaits the lease")  # noqa: PTH208
        assert home.answers()
        assert home.pid("pid") == pid
    home.until_gone()


def test_sigkill_of_the_only_user_ends_it(home: Home) -> None:
    home.attached().kill()
    home.until_gone()


def test_a_forked_child_keeps_it(home: Home) -> None:
    user = home.attached(
        """
        if os.fork() == 0:
            assert ensure() == path
            print("child", flush=True)
        """
    )
    assert user.say() == "child"
    user.kill()
    user.wait()
    # The parent is dead, and the keeper still cannot have the lease.
    with (home.path / keeper.LEASE_LOCK).open("r+b") as lease:
        assert not keeper.try_lock(lease.fileno(), fcntl.LOCK_EX)
    assert home.answers()
    assert user.stdin is not None
    user.stdin.close()  # the child shared it with its parent
    home.until_gone()


def test_a_program_started_by_exec_does_not_keep_it(home: Home) -> None:
    user = home.attached(
        """
        import subprocess
        child = subprocess.Popen(["cat"], close_fds=False, stdout=subprocess.DEVNULL)
        print("child", flush=True)
        """
    )
    assert user.say() == "child"
    user.kill()
    home.until_gone()


def test_the_second_call_is_cheap_and_a_change_of_directory_changes_nothing(home: Home) -> None:
    home.env["JOBQ_HOME"] = os.path.relpath(home.path)
    user = """
        from time import perf_counter
        took = []
        os.chdir("/")
        for _ in range(50):
            start = perf_counter()
            assert ensure() == path
            took.append(perf_counter() - start)
        print(sorted(took)[25])
        """
    lines, _ = home.run(user)
    assert float(lines[0]) < 0.001


def test_announce_gets_the_line(home: Home) -> None:
    code = "import sys; from jobq.embedded import ensure; ensure(announce=sys.stdout.write)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=home.env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("jobq: started a private ")
    assert done.stderr == ""


def test_the_data_are_private(home: Home) -> None:
    home.attached()
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.socket.stat().st_mode & 0o777 == 0o600
    assert (home.path / ".gitignore").read_text() == "*\n"


def test_a_home_may_have_any_name(make_home: Callable[..., Home]) -> None:
    home = make_home("a 'b\" é#%41?")
    home.run("ask(b'SET', b'x', b'1')")
    home.until_gone()
    assert home.run("print(ask(b'GET', b'x'))")[0] == [repr(b"$1\r\n1\r\n")]


def test_a_long_path_gets_its_socket_elsewhere(make_home: Callable[..., Home]) -> None:
    home = make_home("long" * 50)
    home.env["XDG_RUNTIME_DIR"] = str(home.path.parent)
    user = home.attached()
    assert home.answers()
    assert home.socket.parent == home.path.parent / "jobq"
    assert home.socket.parent.stat().st_mode & 0o777 == 0o700
    # Another idea of the directory for temporary files must not mean another server.
    del home.env["XDG_RUNTIME_DIR"]
    assert home.run()[1] == ""
    assert user.poll() is None


def test_the_keeper_leaves_a_healthy_server_alone(home: Home) -> None:
    home.attached()
    pid = home.pid("pid")
    for _ in range(20):
        os.kill(home.pid("keeper"), signal.SIGHUP)
    assert home.run()[1] == ""
    assert home.pid("pid") == pid
