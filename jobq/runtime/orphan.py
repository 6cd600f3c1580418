"""What becomes of a worker whose supervisor has died: it ends, and keeps its leases until then."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final

from jobq.core.clock import Clock
from jobq.core.lease import RENEWALS
from jobq.core.lines import RETRIED, line_at
from jobq.errors import StoreError
from jobq.runtime.board import LOST, Board, Note, note_name
from jobq.store import keys
from jobq.store.connection import Connection
from jobq.store.ops import upkeep
from jobq.store.wire import AnyOp

log = logging.getLogger("jobq.worker")

#: Seconds between looks whether the supervisor still lives, at most: a short lease asks for more.
LOOK: Final = 1.0


class Guard(threading.Thread):
    """The thread that notices the death of the supervisor.

    Nobody renews the leases of an orphan any more, and what it runs may take long: so it renews
    them itself until its process ends, and that job is started nowhere else. Nor would anybody kill
    it for a job that is stuck beyond its hard timeout: it does that itself, too.

    Args:
        supervisor: its process id.
        stop: lets the worker end when its jobs have ended.
        connect: makes a connection of the thread's own.
        consumer: this worker, as Redis knows it.
        lease: seconds.
    """

    def __init__(
        self,
        supervisor: int,
        stop: Callable[[], None],
        connect: Callable[[], Connection],
        board: Board,
        *,
        queues: Sequence[str],
        consumer: str,
        lease: float,
        clock: Clock,
    ) -> None:
        super().__init__(name="jobq-guard", daemon=True)
        self._supervisor = supervisor
        self._stop_worker = stop
        self._connect = connect
        self._board = board
        self._queues = queues
        self._consumer = consumer
        self._lease = lease
        self._clock = clock
        self._over = threading.Event()
        self._told: set[bytes] = set()
        self._silent = False

    def end(self) -> None:
        """End the thread."""
        self._over.set()

    def run(self) -> None:
        """Look often; when the supervisor has died, end the worker and keep its leases."""
        every = self._lease / RENEWALS
        while os.getppid() == self._supervisor:
            if self._over.wait(min(LOOK, every)):  # in time, however short the lease is
                return
        log.error("stopping reason='the supervisor has died'")
        self._stop_worker()
        connection = self._connect()
        renews_at = 0.0
        while not self._over.is_set():
            self._end_stuck()
            if self._clock.monotonic() >= renews_at:
                renews_at = self._clock.monotonic() + every
                self._try_to_renew(connection)
            self._over.wait(min(LOOK, every))
        connection.close()

    def _end_stuck(self) -> None:
        """Kill this process if a job is stuck; others take over what it held."""
        deadline = self._board.next_deadline
        if 0 < deadline < self._clock.monotonic():
            log.error("killed worker pid=%d reason='job stuck, hard timeout'", os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)

    def _try_to_renew(self, connection: Connection) -> None:
        try:
            self._renew(connection)
            self._silent = False
        except StoreError as error:
            if not self._silent:  # one line for each change of state
                log.warning("could not renew leases error=%s", error)
            self._silent = True
        except Exception:  # this thread must not die: nobody else renews
            log.exception("failed to renew leases")

    def _renew(self, connection: Connection) -> None:
        held: dict[tuple[int, str], list[str]] = {}
        for place in self._board.read():
            held.setdefault((place.queue, place.letter), []).append(place.entry)
        ops: list[AnyOp] = []
        for (number, letter), entries in held.items():
            line = line_at(self._queues[number], letter)
            stream = keys.retries(line) if letter == RETRIED else keys.jobs(line)
            ops.append(upkeep.renew(stream, self._consumer, entries))
        at = self._clock.monotonic()
        answers = connection.exchange(ops) if ops else []
        lost: list[Note] = []
        for (number, letter), answer in zip(held, answers, strict=True):
            if isinstance(answer, StoreError):
                raise answer
            lost += [(LOST, note_name(one.encode(), number, letter)) for one in answer]
        self._board.has_renewed(at)
        self._tell([note for note in lost if note[1] not in self._told])

    def _tell(self, lost: Sequence[Note]) -> None:
        """Let the jobs know, on the same way as the supervisor would."""
        left = self._board.leave_notes(lost)
        self._told.update(name for _, name in lost[:left])
        main = threading.main_thread().ident
        if left and main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)
