"""The keeper: starts the embedded server, and stops it when its last user is gone.

It is run as ``python -I -S keeper.py HOME SOCKET OLD_SOCKET NAME VERSION LINGER COMMAND…``: the
standard library only, never the rest of jobq, which imports from here what both must agree on.

Guarantees:
    * at most one keeper and one server per home: kernel locks say so, never a pid;
    * it sleeps without polling while there is a user, and learns of any end of the last, be it
      SIGKILL;
    * it holds the lease exclusively while it stops the server, so no newcomer meets a dying one;
    * the server never outlives it by more than its own shutdown (on Linux).
"""

import fcntl
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import NamedTuple, NoReturn

#: Shared by every user for its whole life; the keeper has it alone when no user is left.
LEASE_LOCK = "lease.lock"
#: Held for the moment in which a user starts a keeper.
START_LOCK = "start.lock"
#: Held by the keeper for its whole life; its text is "pid namespace", empty before its server
#: and after an orderly end, `GAVE_UP` where the server does not start.
KEEPER_LOCK = "keeper.lock"
GAVE_UP = b"gave up"
#: Held by the keeper and, inherited, by the server: free means that no server has the data open.
SERVER_LOCK = "server.lock"
RECORD = "server.json"
LOG = "server.log"
SOCKET = "redis.sock"
#: Begins each line the keeper adds to the server's log.
MARK = "keeper: "
STARTING = f"{MARK}starting "
READY = "the server is ready"

#: Exit codes.
FAILED, SECOND_KEEPER = 1, 3
#: Seconds before the 1st, 2nd, … restart in a row of a server that does not live long.
RESTARTS = (0.0, 0.1, 0.3, 1.0, 3.0)
#: Seconds after which a life of the server counts as a long one.
LONG_LIFE = 10.0
#: Seconds a server gets to sync its file and end; then it is killed, which loses nothing written.
STOP_LIMIT = 20.0
#: Seconds an orphaned server gets to end before the keeper gives up.
ORPHAN_LIMIT = 60.0

#: An event beside the signals: no user is left.
ALONE = 255
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Answer(Enum):
    """What a PING came to."""

    READY = "ready"
    LOADING = "loading"
    BUSY = "busy"
    ABSENT = "absent"


class Settings(NamedTuple):
    """What a keeper is told, in the order of its command line."""

    home: str
    socket: str
    #: Where the server of a killed keeper may still listen.
    old_socket: str
    name: str
    version: str
    linger: float
    #: The server and its options.
    command: tuple[str, ...]


class Events:
    """Signals and posted events in one pipe, so that none is lost between two waits."""

    def __init__(self, signals: Iterable[int]) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        for number in signals:
            signal.signal(number, lambda *_: None)  # its number is in the pipe already
        signal.set_wakeup_fd(self._write)

    def post(self, event: int) -> None:
        """Add an event (1 to 255); any thread may."""
        os.write(self._write, bytes((event,)))

    def wait(self, timeout: float | None) -> set[int]:
        """Wait at most ``timeout`` seconds (None: for ever) and return what happened."""
        ready, _, _ = select.select([self._read], [], [], timeout)
        return set(os.read(self._read, 512)) if ready else set()


class Keeper:
    """The event loop around one server and one lease."""

    def __init__(self, settings: Settings, keeper_lock: int) -> None:
        self._settings = settings
        self._keeper_lock = keeper_lock
        self._server_lock = open_lock(SERVER_LOCK)
        self._lease = open_lock(LEASE_LOCK)
        self._events = Events(SIGNALS)
        self._die_with_parent = death_signal()
        self._child: int | None = None
        self._started_at = 0.0
        self._up = self._ever_up = False
        self._failures = 0
        self._exit: int | None = None
        self._probe_at: float | None = None
        self._restart_at: float | None = None
        self._linger_until: float | None = None

    def run(self) -> int:
        """Keep the server until nobody needs it, somebody stops it, or it cannot be started."""
        if not self._outlive_orphan():
            return self._release(FAILED)
        # Not before now: signals are caught, and whatever answers a PING is this keeper's server.
        os.pwrite(self._keeper_lock, f"{os.getpid()} {pid_namespace()}\n".encode(), 0)
        self._start()
        self._await_last_user()
        while self._exit is None:
            for event in sorted(self._events.wait(self._timeout())):
                self._handle(event)
            if self._exit is None:
                self._tick(time.monotonic())
        return self._release(self._exit)

    def _timeout(self) -> float | None:
        times = (self._probe_at, self._restart_at, self._linger_until)
        due = [max(0.0, at - time.monotonic()) for at in times if at is not None]
        return min(due, default=None)

    def _handle(self, event: int) -> None:
        if event in (signal.SIGTERM, signal.SIGINT):
            self._stop("asked to")
        elif event == signal.SIGHUP:
            self._check()
        elif event == signal.SIGCHLD:
            self._reap()
        elif event == ALONE:
            self._linger_until = time.monotonic() + self._settings.linger

    def _tick(self, now: float) -> None:
        if self._probe_at is not None and now >= self._probe_at:
            self._probe(now)
        if self._restart_at is not None and now >= self._restart_at:
            self._start()
        if self._linger_until is not None and now >= self._linger_until:
            self._linger_until = None
            if try_lock(self._lease, fcntl.LOCK_EX):
                self._stop("its last user is gone")
            else:
                self._await_last_user()

    def _probe(self, now: float) -> None:
        """Look whether a started server is ready; only then may it be restarted without end."""
        self._probe_at = now + 0.02 if now - self._started_at < 1 else now + 0.2
        if ping(self._settings.socket) is Answer.READY:
            self._up = self._ever_up = True
            self._probe_at = None
            say(READY)

    def _check(self) -> None:
        """Restart a server that cannot be reached: its socket was removed by a cleaner of /tmp."""
        started = self._up or time.monotonic() - self._started_at > LONG_LIFE
        if self._child and started and ping(self._settings.socket) is Answer.ABSENT:
            say("the socket is gone")
            os.kill(self._child, signal.SIGTERM)

    def _await_last_user(self) -> None:
        # A thread, since a signal that arrives just before the system call would not end it.
        def wait() -> None:
            fcntl.flock(self._lease, fcntl.LOCK_EX)
            fcntl.flock(self._lease, fcntl.LOCK_UN)
            self._events.post(ALONE)

        threading.Thread(target=wait, daemon=True).start()

    def _outlive_orphan(self) -> bool:
        """Wait for the end of a killed keeper's server, which removes the new one's socket."""
        if try_lock(self._server_lock, fcntl.LOCK_EX):
            return True
        say("an older server has the data, and is asked to end")
        ask_to_end(self._settings.old_socket)
        deadline = time.monotonic() + ORPHAN_LIMIT
        while not try_lock(self._server_lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline or signal.SIGTERM in self._events.wait(0.01):
                say("an older server has the data, and does not end")
                return False
        return True

    def _start(self) -> None:
        self._restart_at = None
        if not self._home_is_ours():  # removed, and perhaps made again by another keeper
            say("the directory is gone")
            self._exit = FAILED
            return
        _, path, _, name, version, _, command = self._settings
        say(f"starting {name} {version} ({command[0]})")
        with suppress(OSError):  # it is there, but for a short path under a cleaned /tmp
            os.mkdir(os.path.dirname(path), 0o700)
        # A signal between fork and exec would be written to the pipe that both still share.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        keeper, child = os.getpid(), os.fork()
        if child == 0:
            self._become_server(keeper)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._child, self._up = child, False
        self._started_at = self._probe_at = time.monotonic()

    def _become_server(self, keeper: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self._die_with_parent()
            if os.getppid() == keeper:
                self._write_record(keeper)  # before anybody can meet the server
                os.set_inheritable(self._server_lock, True)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                os.execv(self._settings.command[0], self._settings.command)  # noqa: S606  no shell
        except OSError as error:
            say(f"cannot run {self._settings.command[0]}: {error}")
        finally:
            os._exit(127)

    def _reap(self) -> None:
        ended, status = os.waitpid(self._child, os.WNOHANG) if self._child else (0, 0)
        if not ended:
            return
        now = time.monotonic()
        self._failures = self._failures + 1 if now - self._started_at < LONG_LIFE else 1
        self._child = self._probe_at = None
        code = os.waitstatus_to_exitcode(status)
        say(f"the server ended ({code})")
        # One that never ran and ends by itself has a reason that a restart does not remove.
        hopeless = (code >= 0 and not self._ever_up) or self._failures > len(RESTARTS)
        if hopeless and not self._up:
            say("giving up")
            self._exit = FAILED
        else:
            self._restart_at = now + RESTARTS[min(self._failures, len(RESTARTS)) - 1]

    def _stop(self, reason: str) -> None:
        self._exit = 0
        say(f"stopping the server: {reason}")
        child, self._child = self._child, None
        if child is None:
            return
        # An orderly end removes the socket by its name, which may be another server's by now.
        os.kill(child, signal.SIGTERM if self._home_is_ours() else signal.SIGKILL)
        deadline = time.monotonic() + STOP_LIMIT
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            self._events.wait(0.5)
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)

    def _home_is_ours(self) -> bool:
        try:
            there = os.stat(os.path.join(self._settings.home, KEEPER_LOCK))
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._keeper_lock))

    def _release(self, code: int) -> int:
        """Say how it ended, and unlock in the order in which a newcomer looks."""
        os.ftruncate(self._keeper_lock, 0)
        if code == FAILED:
            os.pwrite(self._keeper_lock, GAVE_UP, 0)
        for lock in (self._server_lock, self._keeper_lock, self._lease):
            fcntl.flock(lock, fcntl.LOCK_UN)
        return code

    def _write_record(self, keeper: int) -> None:
        import json  # noqa: PLC0415  1.3 MB that the keeper itself does without

        record = {
            "server": self._settings.name,
            "version": self._settings.version,
            "binary": self._settings.command[0],
            "pid": os.getpid(),
            "keeper": keeper,
            "socket": self._settings.socket,
        }
        with suppress(OSError):  # a full disk must not take the server away
            with open(f"{RECORD}.new", "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
            os.replace(f"{RECORD}.new", RECORD)


def ping(path: str, timeout: float = 1.0) -> Answer:
    """Ask the server behind a unix socket whether it is there; any reply means that it is."""
    try:
        reply = _ask(path, b"PING\r\n", timeout)
    except (TimeoutError, BlockingIOError):
        return Answer.BUSY
    except OSError:
        return Answer.ABSENT
    if reply.startswith(b"-LOADING"):
        return Answer.LOADING
    return Answer.READY if reply else Answer.ABSENT


def ask_to_end(path: str) -> bool:
    """Send SHUTDOWN to the server behind a unix socket; False where nobody listens."""
    try:
        _ask(path, b"SHUTDOWN\r\n", 1.0)
    except OSError:
        return False
    return True


def _ask(path: str, command: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(command)
        return connection.recv(128)


def open_lock(path: str) -> int:
    """Open a lock file, making it where it is missing; the descriptor is not inherited by exec."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock (``LOCK_SH`` or ``LOCK_EX``) without waiting; False where somebody else has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid_namespace() -> str:
    """Return the name of this process's pid namespace: pids of another one mean nothing here."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "-"


def death_signal() -> Callable[[], None]:
    """Return what makes the calling process get SIGTERM when its parent ends (Linux only)."""
    try:
        import ctypes  # noqa: PLC0415  not part of every Python

        prctl = ctypes.CDLL(None).prctl  # a name that only Linux has
    except (ImportError, OSError, AttributeError):
        return lambda: None
    set_death_signal = 1  # PR_SET_PDEATHSIG in linux/prctl.h
    return lambda: prctl(set_death_signal, int(signal.SIGTERM), 0, 0, 0)


def say(text: str) -> None:
    """Add a line to the server's log, which is the keeper's stderr."""
    when = time.strftime("%d %b %Y %H:%M:%S")
    sys.stderr.write(f"{MARK}{text} [{when}]\n")
    sys.stderr.flush()


def _lock_keeper() -> int | None:
    lock = open_lock(KEEPER_LOCK)
    for _ in range(50):  # others test this lock by taking it shared for some microseconds
        if try_lock(lock, fcntl.LOCK_EX):
            os.ftruncate(lock, 0)
            return lock
        time.sleep(0.004)
    return None


def main(words: list[str]) -> int:
    """Become the keeper of one home, in a process that is nobody's child."""
    home, path, old_path, name, version, linger, *command = words
    settings = Settings(home, path, old_path, name, version, float(linger), tuple(command))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a user's thread may have blocked some
    os.umask(0o077)
    os.chdir(settings.home)
    lock = _lock_keeper()
    if lock is None:
        return SECOND_KEEPER
    # The starter waits for this process; from its end on, the lock says that a keeper lives.
    if os.fork():
        return 0
    return Keeper(settings, lock).run()


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
