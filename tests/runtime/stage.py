"""A worker without a supervisor: its executor runs here, and a thread plays the supervisor."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from unittest.mock import patch

from jobq import JobQ
from jobq.core.clock import SystemClock
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import CANCEL, Board, Place, note_name
from jobq.runtime.executors import loop as loop_module
from jobq.runtime.executors.inline import InlineExecutor
from jobq.runtime.executors.loop import LoopExecutor
from jobq.runtime.executors.plan import Plan
from jobq.runtime.inside import Courier
from jobq.runtime.notes import Notes
from jobq.runtime.redis_time import redis_ms
from jobq.store.address import Address, parse_url
from jobq.store.connection import Connection
from jobq.store.ops import manage
from tests.support.wait import wait_until

ME = "me"


class Stage:
    """One worker, in the main thread, that ends when the queues are empty.

    Attributes:
        app: the app; give it job functions and calls before `run`.
        board: the page that a supervisor would share.
    """

    def __init__(self, app: JobQ, *, lease: float = 30.0) -> None:
        self.app = app
        self.board = Board()
        self.lease = lease
        self._connections: list[Connection] = []
        #: Takes the reports of the jobs, if there is one.
        self.courier: Courier | None = None

    def run(
        self,
        play: Callable[[], object] = lambda: None,
        *,
        threads: int = 1,
        loop: bool = False,
        max_jobs: int | None = None,
        concurrency: int = 100,
        grace: float = 25.0,
    ) -> bool:
        """Run the worker while another thread plays; returns whether it wants to be replaced.

        Args:
            play: what the supervisor does; what it raises is raised here.
            loop: it has async job functions.
        """
        registry = self.app.registry
        queues = tuple(registry.queues())
        clock = SystemClock()
        now_ms = redis_ms(self.board, clock)
        attempts = Attempts(
            registry,
            self.app.codec,
            consumer=ME,
            now_ms=now_ms,
            rng=lambda: 0.5,
            max_delay=self.app.max_delay,
        )
        plan = Plan(
            queues=queues,
            consumer=ME,
            threads=threads,
            concurrency=concurrency,
            has_async=loop,
            burst=True,
            grace=grace,
            max_jobs=max_jobs,
        )
        notes = Notes(self.board, queues, lease=self.lease, clock=clock)
        notes.inside.courier = self.courier
        executor: InlineExecutor | LoopExecutor
        if loop or threads > 1:
            executor = LoopExecutor(plan, attempts, self._locate, self.board, clock, notes)
        else:
            executor = InlineExecutor(plan, attempts, self._connect, self.board, clock, notes)
        soon = patch.object(loop_module, "BURST_LOOK", 0.02)
        with soon, _handling(executor.interrupt), _playing(play):
            executor.run()
        for connection in self._connections:
            connection.close()
        return executor.replaced

    def _connect(self) -> Connection:
        self._connections.append(Connection(self._locate))
        return self._connections[-1]

    def _locate(self) -> Address:
        return parse_url(self.app.redis_url())

    def held(self, *, started: bool) -> list[Place]:
        """Return what stands on the board."""
        return [place for place in self.board.read() if place.started == started]

    def wait_started(self, many: int = 1) -> list[Place]:
        """Wait until that many jobs run."""

        def enough() -> list[Place]:
            found = self.held(started=True)
            return found if len(found) >= many else []

        return wait_until(enough, f"{many} jobs run")

    def cancel(self, job_id: str, name: bytes, queue: str = "default") -> None:
        """Cancel a job that this worker holds, as a client and a supervisor do together."""
        assert self.app.store.run(manage.cancel(queue, job_id)) == manage.IS_RUNNING
        self.note(CANCEL, name)

    def note(self, what: bytes, name: bytes) -> None:
        """Leave a note, and say so."""
        wait_until(lambda: self.board.leave_notes([(what, name)]), "the worker has read its notes")
        os.kill(os.getpid(), signal.SIGUSR1)


def name_of(place: Place) -> bytes:
    """Return how notes call it."""
    return note_name(place.entry.encode(), place.queue, place.letter)


@contextmanager
def _handling(interrupt: Callable[[FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, lambda _, frame: interrupt(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def _playing(play: Callable[[], object]) -> Iterator[None]:
    failed: list[BaseException] = []

    def body() -> None:
        try:
            play()
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]
