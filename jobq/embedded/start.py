"""Attach to the server of a project, and start its keeper where there is none."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import sleep
from typing import BinaryIO

from jobq.core.clock import SystemClock
from jobq.embedded import keeper
from jobq.embedded.find import Binary, find_server
from jobq.embedded.home import (
    find_home,
    fsync,
    linger,
    new_socket_path,
    prepare_home,
    socket_path,
)
from jobq.embedded.keeper import Answer, ping
from jobq.embedded.lease import Leases, keeper_lives, keeper_pid, keeper_works
from jobq.errors import ServerError

#: Seconds a server may take from its start, or from the last sign that it is loading its data.
START_LIMIT = 30.0
#: How often one call starts a keeper; of more, none would live long either.
MOST_STARTS = 10
#: Seconds between two requests to the keeper to look at a server that cannot be reached.
NUDGE_EVERY = 0.5
#: Bytes after which the log is turned over, once, at the next start.
LOG_LIMIT = 1 << 20
#: Lines of the log that an error quotes.
QUOTED = 12

_leases = Leases()


def ensure(home: Path | None = None, *, announce: Callable[[str], None] | None = None) -> Path:
    """Return the socket of a live server, and keep it alive for as long as this process lives.

    Call it before each connection: it takes a fraction of a millisecond when all is well, and
    brings back what is not.

    Args:
        home: the directory of the server; None: `find_home`, asked once a process.
        announce: gets one line when this call started the server; None: stderr gets it.

    Raises:
        ServerError: there is no binary, or the server cannot be started or reached.
        ConfigError: JOBQ_LINGER or JOBQ_EMBEDDED_FSYNC is not usable.
    """
    where = _first_home(os.environ.get("JOBQ_HOME")) if home is None else home.resolve()
    if not _leases.holds(where):
        prepare_home(where)
        _leases.take(where)
    path = socket_path(where)
    if ping(str(path)) is Answer.READY and keeper_works(where):
        return path
    attempt = _Attempt(where)
    try:
        path = attempt.run()
    except OSError as error:
        raise ServerError(f"cannot start the server in {where}: {error}") from error
    if attempt.started:
        (announce or _to_stderr)(_first_line(attempt.started, where))
    return path


@cache
def _first_home(_named: str | None) -> Path:
    # A program that changes its directory must not change its server.
    return find_home()


class _Attempt:
    """One call's way to a live server that it did not meet."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._clock = SystemClock()
        #: What this attempt started; None: nothing, or somebody else did.
        self.started: Binary | None = None
        self._starts = 0
        self._nudge_at = self._clock.monotonic() + NUDGE_EVERY / 2

    def run(self) -> Path:
        """Return the socket once a server with a keeper answered there."""
        deadline = self._clock.monotonic() + START_LIMIT
        while True:
            path = socket_path(self._home)
            answer, lives = ping(str(path)), keeper_lives(self._home)
            now = self._clock.monotonic()
            if answer is Answer.READY and keeper_works(self._home):
                return path
            if lives and answer is Answer.LOADING:
                deadline = now + START_LIMIT
            if now > deadline:
                raise ServerError(
                    f"the server in {self._home} does not answer at {path} ({answer.value}). "
                    f"`jobq server stop` ends it.{log_tail(self._home)}"
                )
            if not lives:
                self._start()
            elif answer is Answer.ABSENT and now > self._nudge_at:
                self._nudge_at = now + NUDGE_EVERY
                nudge(self._home)
            sleep(0.005)

    def _start(self) -> None:
        """Start a keeper, unless somebody is doing it."""
        # One that was killed, or stopped by somebody, is no reason to give up.
        gave_up = self._starts and (self._home / keeper.KEEPER_LOCK).read_bytes() == keeper.GAVE_UP
        if self.started and (gave_up or self._starts >= MOST_STARTS):
            raise ServerError(
                f"{self.started.name} {self.started.version} ({self.started.path}) does not "
                f"start in {self._home}.{log_tail(self._home)}"
            )
        lock = keeper.open_lock(str(self._home / keeper.START_LOCK))
        try:
            if keeper.try_lock(lock, fcntl.LOCK_EX):
                try:
                    if not keeper_lives(self._home):
                        self.started = _start_keeper(self._home) or self.started
                        self._starts += 1
                finally:
                    # Explicitly: a child forked by another thread just now has the file open too.
                    fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)


def _start_keeper(home: Path) -> Binary | None:
    """Start a keeper and return its binary, or None where another keeper was faster."""
    import subprocess  # noqa: PLC0415  2.5 MB that only the process that starts the server needs

    binary = find_server()
    path = new_socket_path(home)
    settings = keeper.Settings(
        home=str(home),
        socket=str(path),
        old_socket=str(socket_path(home)),
        name=binary.name,
        version=binary.version,
        linger=linger(),
        command=(str(binary.path), *_flags(home, path)),
    )
    python = (_python(), "-I", "-S", "-W", "ignore", str(Path(keeper.__file__).absolute()))
    with _open_log(home) as log:
        ended = subprocess.run(
            [*python, *map(str, settings[:-1]), *settings.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    if ended.returncode == keeper.SECOND_KEEPER:
        return None
    if ended.returncode:
        raise ServerError(f"cannot start the keeper of {home}.{log_tail(home)}")
    return binary


def _flags(home: Path, path: Path) -> list[str]:
    """Return the server's options.

    ``aof-use-rdb-preamble no`` lets any server from Redis 7.0 or Valkey 8 on read the data of any
    other, so that an update of the binary never loses them.
    """
    return [
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600"),
        *("--dir", str(home), "--logfile", str(home / keeper.LOG)),
        *("--appendonly", "yes", "--appendfsync", fsync(), "--aof-use-rdb-preamble", "no"),
        *("--save", "", "--maxmemory-policy", "noeviction"),
    ]


def _python() -> str:
    """Return an interpreter; `sys.executable` may be a program that embeds one, such as uwsgi."""
    import shutil  # noqa: PLC0415  5 ms that only the process that starts the server needs

    if "py" in Path(sys.executable or "").name and not getattr(sys, "frozen", False):
        return sys.executable
    for path in (str(Path(sys.prefix, "bin", "python3")), shutil.which("python3")):
        if path and os.access(path, os.X_OK):
            return path
    raise ServerError("found no Python interpreter to run the keeper of the embedded server with")


def _open_log(home: Path) -> BinaryIO:
    path = home / keeper.LOG
    try:
        if path.stat().st_size > LOG_LIMIT:
            path.replace(home / f"{keeper.LOG}.1")
    except FileNotFoundError:
        pass
    return open(path, "ab", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def log_tail(home: Path) -> str:
    """Return the last lines of the log since the last start, as the end of an error message."""
    try:
        with (home / keeper.LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith(keeper.STARTING):
            lines = lines[at:]
            break
    quoted = "\n".join(f"  {line}" for line in lines[-QUOTED:])
    return f"\nThe end of {home / keeper.LOG}:\n{quoted}" if quoted else ""


def nudge(home: Path) -> None:
    """Ask the keeper to look at its server; it does nothing to one that can be reached."""
    pid = keeper_pid(home)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def _first_line(binary: Binary, home: Path) -> str:
    return (
        f"jobq: started a private {binary.name} {binary.version}, data in {home}; "
        "set JOBQ_REDIS_URL to use another server"
    )


def _to_stderr(line: str) -> None:
    # A daemon may have none.
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
