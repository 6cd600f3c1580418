"""How `jobq bench` and the jobs of its workers meet: a socket of this machine.

A job can hold its worker up until the bench lets it go, and tell when it was started. Times are
those of the monotonic clock, which all processes of a machine share.
"""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import click

from jobq.core.clock import SystemClock

#: Seconds that a job may take to come to the gate: a worker must start, on a busy machine.
PATIENCE: Final = 30.0

#: Seconds between looks whether the worker still lives.
_LOOK: Final = 0.2

#: A moment on its way through a socket.
_MOMENT: Final = struct.Struct("<d")


def hold(path: str) -> None:
    """Come to the gate, wait to be let go, then tell when that was."""
    with _visit(path) as visit:
        visit.recv(1)
        visit.sendall(_MOMENT.pack(SystemClock().monotonic()))


def mark(path: str) -> None:
    """Tell the gate when this was called."""
    now = SystemClock().monotonic()
    with _visit(path) as visit:
        visit.sendall(_MOMENT.pack(now))


def leash(end: Callable[[], object]) -> None:
    """Call ``end`` when the bench that started this process is gone: its end of stdin closes."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        end()

    threading.Thread(target=wait, name="bench-leash", daemon=True).start()


def leash_supervisor() -> None:
    """In a worker: stop its supervisor when the bench is gone."""
    supervisor = os.getppid()

    def stop() -> None:
        if os.getppid() == supervisor:  # else it has died, and its number may be another's
            os.kill(supervisor, signal.SIGTERM)

    leash(stop)


class Visitor:
    """A job that has come to the gate."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the job go, whatever happens."""
        self._connection.close()

    def let_go(self) -> None:
        """Let a job that holds its worker up go on."""
        self._connection.sendall(b"!")

    def moment(self) -> float:
        """Return the moment that the job tells, in monotonic seconds."""
        said = b""
        while len(said) < _MOMENT.size:
            more = self._connection.recv(_MOMENT.size - len(said))
            if not more:
                raise click.ClickException("a job of the bench ended without a word")
            said += more
        moment: float = _MOMENT.unpack(said)[0]
        return moment


class Gate:
    """Where the jobs of a bench report.

    Args:
        folder: where its socket is made; a short path, macOS takes 104 bytes.

    Attributes:
        path: of the socket.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(_LOOK)

    def visitor(self, check: Callable[[], None]) -> Visitor:
        """Wait for the next job to come.

        Args:
            check: raises when the worker has ended, so that nobody can come.

        Raises:
            click.ClickException: nobody came.
        """
        for _ in range(int(PATIENCE / _LOOK)):
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                check()
            else:
                connection.settimeout(PATIENCE)
                return Visitor(connection)
        raise click.ClickException(f"no job of the bench was started within {PATIENCE:g} s")

    def close(self) -> None:
        """Turn everybody away."""
        self._listener.close()


def _visit(path: str) -> socket.socket:
    visit = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        visit.connect(path)
    except OSError:
        visit.close()
        raise
    return visit
