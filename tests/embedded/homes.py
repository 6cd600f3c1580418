"""A home under test, and its users as real processes."""

import fcntl
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jobq.embedded
from jobq.embedded import control, keeper
from jobq.embedded.home import socket_path
from jobq.embedded.record import read_record
from tests.support.wait import wait_until

#: Where child processes find the jobq that is tested.
ROOT = Path(jobq.embedded.__file__).parents[2]

USER = """\
import os, socket, sys
from jobq.embedded import ensure

def ask(*words):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b" ".join(words) + b"\\r\\n")
        return connection.recv(4096)

path = ensure()
print(path, flush=True)
"""


def free(path: Path) -> bool:
    """Say whether nobody, as the kernel sees it, holds a lock; False where there is no such file.

    A pid would not tell: not every machine's first process reaps the dead.
    """
    if not path.exists():
        return False
    lock = os.open(path, os.O_RDWR)
    try:
        if not keeper.try_lock(lock, fcntl.LOCK_EX):
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        return True
    finally:
        os.close(lock)


class User(subprocess.Popen[str]):
    """A process that called `ensure`; it lives until its stdin is closed."""

    def say(self) -> str:
        """Return the next line of its stdout."""
        assert self.stdout is not None
        return self.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        """Let its `sys.stdin.readline()` return."""
        assert self.stdin is not None
        self.stdin.write("\n")
        self.stdin.flush()

    def finish(self) -> tuple[list[str], str]:
        """Let it end; return the lines it has said meanwhile, and its stderr."""
        out, err = self.communicate("", timeout=40)
        assert self.returncode == 0, err
        return out.splitlines(), err


class Home:
    """A home under test, and the processes that use it.

    Attributes:
        path: the directory.
        env: the variables of its users.
    """

    def __init__(self, path: Path, linger: float) -> None:
        self.path = path
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("JOBQ_")},
            **{key: os.environ[key] for key in ("JOBQ_SERVER_BIN",) if key in os.environ},
            "PYTHONPATH": str(ROOT),
            "JOBQ_HOME": str(path),
            "JOBQ_LINGER": str(linger),
        }
        self._users: list[User] = []

    def user(self, code: str = "") -> User:
        """Start a process that calls `ensure`, prints the socket, runs `code`, awaits its stdin.

        The code has `ask(*words)` for a command to the server, and `path`, its socket.
        """
        text = f"{USER}{textwrap.dedent(code)}\nsys.stdin.read()"
        pipe = subprocess.PIPE
        user = User(
            [sys.executable, "-W", "error", "-c", text],
            env=self.env,
            text=True,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        self._users.append(user)
        return user

    def attached(self, code: str = "") -> User:
        """Return a user that has its socket."""
        user = self.user(code)
        said = user.say()
        assert said == str(self.socket), user.communicate("")[1]
        return user

    def run(self, code: str = "") -> tuple[list[str], str]:
        """Run a user to its end; return its lines after the socket, and its stderr."""
        out, err = self.user(code).finish()
        return out[1:], err

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return socket_path(self.path)

    def pid(self, who: str) -> int:
        """Return the pid of the ``keeper`` or of the server (``pid``)."""
        found = read_record(self.path)[who]
        assert isinstance(found, int)
        return found

    def answers(self) -> bool:
        """Say whether the server answers."""
        return keeper.ping(str(self.socket)) is keeper.Answer.READY

    def gone(self) -> bool:
        """Say whether neither a keeper nor a server of this home lives."""
        return free(self.path / keeper.KEEPER_LOCK) and free(self.path / keeper.SERVER_LOCK)

    def until_gone(self) -> None:
        """Wait until neither a keeper nor a server of this home lives."""
        wait_until(self.gone, "server and keeper are gone", 20)

    def log(self) -> str:
        """Return the server's log."""
        return (self.path / keeper.LOG).read_text()

    def end(self) -> None:
        """End the users, then whatever they left; no process outlives a test."""
        for user in self._users:
            user.kill()
            user.wait()
            for stream in filter(None, (user.stdin, user.stdout, user.stderr)):
                stream.close()
        if (self.path / keeper.SERVER_LOCK).exists():
            control.stop(self.path)
            self.until_gone()
