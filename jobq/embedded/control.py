"""Look at a server and its keeper from outside, and stop them."""

import fcntl
import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from urllib.parse import quote

from jobq.core.clock import SystemClock
from jobq.embedded.home import socket_path
from jobq.embedded.keeper import (
    KEEPER_LOCK,
    STOP_LIMIT,
    Answer,
    Events,
    ask_to_end,
    open_lock,
    ping,
)
from jobq.embedded.lease import keeper_lives, keeper_pid
from jobq.embedded.record import recorded_text
from jobq.errors import ServerError

#: The event of `await_keepers_end`; no signal has this number.
KEEPER_GONE = 254


@dataclass(frozen=True, slots=True)
class Status:
    """What can be known of the server of a home; numbers of a server that does not run are None.

    Attributes:
        running: it listens, be it that it is loading its data or busy.
        state: ready, loading, busy (no answer in time), or absent.
        server: its name, or that of the last one to use the data ("valkey"); None: never started.
        version: of the same.
        pid: the server's.
        keeper: the keeper's pid.
        uptime: seconds.
        memory: bytes.
        clients: connections, without the one that asked.
        home: the directory.
        data_bytes: what the data take on the disk.
        url: how to reach it.
    """

    running: bool
    state: str
    server: str | None
    version: str | None
    pid: int | None
    keeper: int | None
    uptime: int | None
    memory: int | None
    clients: int | None
    home: str
    data_bytes: int
    url: str


def look(home: Path) -> Status:
    """Look at the server of a home, without a lease and without starting one."""
    path = socket_path(home)
    answer = ping(str(path))
    info = _info(path) if answer is Answer.READY else {}
    try:
        keeper = keeper_pid(home)
    except ServerError:  # in another container
        keeper = None
    clients = _number(info, "connected_clients")
    return Status(
        running=answer is not Answer.ABSENT,
        state=answer.value,
        server=recorded_text(home, "server") or info.get("server_name"),
        version=recorded_text(home, "version") or info.get("redis_version"),
        pid=_number(info, "process_id"),
        keeper=keeper,
        uptime=_number(info, "uptime_in_seconds"),
        memory=_number(info, "used_memory"),
        clients=None if clients is None else clients - 1,
        home=str(home),
        data_bytes=_size(home / "appendonlydir"),
        url=server_url(path),
    )


def server_url(path: Path) -> str:
    """Return the URL of the server behind a unix socket."""
    return f"unix://{quote(str(path))}"


def stop(home: Path) -> bool:
    """Stop the server of a home now, whoever uses it; return once it is gone.

    Returns:
        False where none ran.

    Raises:
        ServerError: it lives in another container, or does not end.
    """
    clock = SystemClock()
    deadline = clock.monotonic() + 2 * STOP_LIMIT
    asked: int | None = None
    while keeper_lives(home):
        pid = keeper_pid(home)
        if asked is not None and pid not in (asked, None):
            return True  # the next keeper: somebody needed the server at once
        if asked is None and pid is not None:
            asked = pid
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if clock.monotonic() > deadline:
            raise ServerError(f"the keeper of {home} (pid {asked}) does not end")
        sleep(0.01)
    return asked is not None or _stop_orphan(home)


def _stop_orphan(home: Path) -> bool:
    """Stop a server whose keeper was killed, where the system did not."""
    path = str(socket_path(home))
    if not ask_to_end(path):
        return False
    clock = SystemClock()
    deadline = clock.monotonic() + STOP_LIMIT
    while ping(path) is not Answer.ABSENT:
        if clock.monotonic() > deadline:
            raise ServerError(f"the server at {path} does not end")
        sleep(0.01)
    return True


def _info(path: Path) -> dict[str, str]:
    """Return the server's INFO; empty where it is gone by now."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            connection.connect(str(path))
            connection.sendall(b"INFO\r\n")
            with connection.makefile("rb") as replies:
                head = replies.readline()
                text = replies.read(int(head[1:])) if head.startswith(b"$") else b""
    except (OSError, ValueError):
        return {}
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def _number(info: dict[str, str], name: str) -> int | None:
    text = info.get(name, "")
    return int(text) if text.isdecimal() else None


def _size(directory: Path) -> int:
    total = 0
    with suppress(OSError):
        for entry in os.scandir(directory):
            with suppress(OSError):  # the server may remove it in this moment
                total += entry.stat().st_size
    return total


def await_keepers_end(home: Path, events: Events) -> None:
    """Post `KEEPER_GONE` once no keeper has this home; waits in the kernel, in a thread."""

    def wait() -> None:
        descriptor = open_lock(str(home / KEEPER_LOCK))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)
        events.post(KEEPER_GONE)

    threading.Thread(target=wait, daemon=True).start()


def was_stopped(home: Path) -> bool:
    """Say whether the last keeper ended in order, since somebody asked it to."""
    return not (home / KEEPER_LOCK).read_bytes()
