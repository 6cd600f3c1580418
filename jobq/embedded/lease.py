"""The lease: what tells the keeper that this process still uses the server."""

import fcntl
import os
import threading
from pathlib import Path
from time import sleep

from jobq.core.clock import SystemClock
from jobq.embedded.keeper import KEEPER_LOCK, LEASE_LOCK, open_lock, pid_namespace, try_lock
from jobq.errors import ServerError

#: Seconds to wait for a keeper that is stopping the server; it kills the server before that.
STOPPING_LIMIT = 60.0


class Leases:
    """The leases of this process, one a home, held until it ends.

    A forked child holds them too, as the kernel sees it, and for as long as it lives; a program
    started by ``exec`` does not.
    """

    def __init__(self) -> None:
        self._held: dict[Path, tuple[int, os.stat_result]] = {}
        self._lock = threading.Lock()
        # The thread that held the lock does not exist in a forked child.
        os.register_at_fork(after_in_child=self._renew_lock)

    def holds(self, home: Path) -> bool:
        """Say whether the lease is held, and its file is still the one in that home.

        It is not after ``rm -r`` of the home, nor after a daemon closed all its descriptors.
        """
        held = self._held.get(home)
        if held is None:
            return False
        try:
            there, here = (home / LEASE_LOCK).stat(), os.fstat(held[0])
        except OSError:
            return False
        return os.path.samestat(there, here)

    def take(self, home: Path) -> None:
        """Take the lease of a home unless it is held.

        Raises:
            ServerError: the file system has no locks, or a keeper does not end.
        """
        with self._lock:
            if self.holds(home):
                return
            self._drop(home)
            try:
                descriptor = _take(home)
            except OSError as error:
                raise ServerError(
                    f"cannot lock {home / LEASE_LOCK}: {error.strerror}. The embedded server needs "
                    "a local file system: set JOBQ_HOME to a directory on one, or JOBQ_REDIS_URL "
                    "to a server."
                ) from error
            self._held[home] = descriptor, os.fstat(descriptor)

    def _drop(self, home: Path) -> None:
        descriptor, taken = self._held.pop(home, (-1, None))
        try:
            # The number may be another file's by now.
            if taken is not None and os.path.samestat(os.fstat(descriptor), taken):
                os.close(descriptor)
        except OSError:
            pass

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


def _take(home: Path) -> int:
    clock = SystemClock()
    deadline = clock.monotonic() + STOPPING_LIMIT
    descriptor = open_lock(str(home / LEASE_LOCK))
    # A keeper that stops the server has it alone. Waiting in the kernel could not be ended.
    while not try_lock(descriptor, fcntl.LOCK_SH):
        if clock.monotonic() > deadline:
            os.close(descriptor)
            raise ServerError(
                f"the keeper of the server in {home} has been stopping it for "
                f"{STOPPING_LIMIT:g} s. Look at its log: jobq server logs"
            )
        sleep(0.005)
    return descriptor


def keeper_pid(home: Path) -> int | None:
    """Return the pid of the keeper that lives now, or None where there is none yet, or any more.

    Raises:
        ServerError: it lives in another container, where its pid means nothing here.
    """
    if not keeper_lives(home):
        return None
    text = (home / KEEPER_LOCK).read_text(encoding="ascii", errors="replace")
    pid, _, namespace = text.strip().partition(" ")
    if not pid.isdecimal():  # it has the lock, and is about to write
        return None
    if namespace != pid_namespace():
        raise ServerError(
            f"the keeper of {home} lives in another container; do it there (its pid is {pid})"
        )
    return int(pid)


def keeper_works(home: Path) -> bool:
    """Say whether a keeper has this home, and no server but its own can answer there."""
    return keeper_lives(home) and (home / KEEPER_LOCK).stat().st_size > 0


def keeper_lives(home: Path) -> bool:
    """Say whether a keeper has this home; the kernel knows, and forgets a dead one at once."""
    try:
        descriptor = os.open(home / KEEPER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(descriptor, fcntl.LOCK_SH):
            return True
        # Closing is not enough: a child forked by another thread just now would keep the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    finally:
        os.close(descriptor)
