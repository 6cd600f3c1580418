"""The parent of the workers: it keeps their leases, starts them again, and runs no user code.

Guarantees:
    * leases are renewed from this process, which no job can block;
    * what a dead worker held is given to others at once, charged only to the job that ran;
    * the first SIGTERM or SIGINT lets jobs finish, the second gives them back.
"""

import logging
import os
import selectors
import signal
from collections.abc import Callable
from typing import Final

from jobq.core.clock import Clock, SystemClock
from jobq.core.ports import Application
from jobq.errors import StoreDenied
from jobq.runtime.board import DENIED, ENDED, FAILED, STARTING, Board
from jobq.runtime.children import Child, consumer_name, how_it_ended, spawn
from jobq.runtime.hello import Hello
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.upkeep import Upkeep
from jobq.runtime.worker import WorkerTask, run_worker

log = logging.getLogger("jobq.supervisor")

#: Seconds between looks at what is due: how late a retry can be while every worker waits.
TICK: Final = 0.1

#: Seconds of life below which a worker counts as one that dies at once.
SHORT_LIFE: Final = 1.0

#: Seconds before a worker that died at once is started again: doubled each time, up to the last.
RESTART: Final = (0.5, 30.0)

#: Workers that may die at once in a job, one after the other, before the next one has to wait.
SPARED: Final = 20

#: Exit codes after a second signal cut work short, by the convention of shells: 128 + signal.
CUT_SHORT: Final = 128


class Supervisor:
    """Starts workers and looks after them until told to stop.

    Args:
        load_app: imports the app and tells what it is called; called in the workers only.
        on_ready: called once, when the first worker has found the app.
        on_error: reports what kept a worker from starting; returns its exit code.
        on_stopping: called with the running jobs when the first signal has come.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        load_app: Callable[[], tuple[Application, str]],
        *,
        on_ready: Callable[[Hello], None],
        on_error: Callable[[BaseException], int],
        on_stopping: Callable[[int], None],
        clock: Clock = SystemClock(),
    ) -> None:
        self._settings = settings
        self._load_app = load_app
        self._on_ready = on_ready
        self._on_error = on_error
        self._on_stopping = on_stopping
        self._clock = clock
        self._children: dict[int, Child] = {}
        self._upkeep: Upkeep | None = None
        self._signals: list[int] = []
        self._short_lives = 0
        self._restarts: list[tuple[float, int]] = []
        self._handled = 0
        self._code = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Run until stopped, or until the queues are empty in a burst; return the exit code."""
        wake = self._catch_signals()
        self._start(0)
        try:
            while self._children or self._restarts:
                self._wait(wake)
                self._handle_signals()
                self._bury_dead()
                self._restart_due()
                if self._upkeep is not None:
                    self._upkeep.tick(list(self._children.values()))
                    if self._upkeep.suspects_wait and not self._signals:
                        self._start_isolated()
        finally:
            for child in self._children.values():
                child.signal(signal.SIGKILL)
            if self._upkeep is not None:
                self._upkeep.leave()
        return self._code

    def _wait(self, wake: int) -> None:
        for key, _ in self._selector.select(TICK):
            if key.fd == wake:
                _drain(wake)
            else:
                self._hear(key.data)

    def _hear(self, child: Child) -> None:
        self._selector.unregister(child.reader)
        hello = child.listen()
        if child.reader >= 0:  # a long hello comes in pieces
            self._selector.register(child.reader, selectors.EVENT_READ, child)
        if hello is None or self._upkeep is not None:
            return
        self._upkeep = Upkeep(hello, self._settings, clock=self._clock)
        self._on_ready(hello)
        if self._signals:  # nobody would tell those that are started now
            self._upkeep.drain(list(self._children.values()))
            return
        for slot in range(1, self._settings.processes):
            self._start(slot)

    def _start(self, slot: int, *, isolated: bool = False) -> None:
        consumer = consumer_name(self._settings.name, slot)
        task = WorkerTask(
            load_app=self._load_app,
            settings=self._settings,
            consumer=consumer,
            isolated=isolated,
        )

        def run(board: Board, say_hello: Callable[[Hello], None]) -> int:
            self._selector.close()
            if self._upkeep is not None:
                self._upkeep.forget()
            try:
                run_worker(task, board, say_hello)
            except Exception as error:  # noqa: BLE001  reported in the words of the command line
                board.says(DENIED if isinstance(error, StoreDenied) else FAILED)
                return self._on_error(error)
            return 0

        child = spawn(slot, consumer, isolated=isolated, born=self._clock.monotonic(), run=run)
        self._children[child.pid] = child
        self._selector.register(child.reader, selectors.EVENT_READ, child)
        log.debug("started worker pid=%d consumer=%s", child.pid, consumer)

    def _start_isolated(self) -> None:
        """Start a worker for suspects: whatever they do, they do it to nobody else."""
        isolated = [child for child in self._children.values() if child.isolated]
        if any(child.board.state == STARTING for child in isolated):
            return
        if len(isolated) < self._settings.processes:
            self._start(self._settings.processes + len(isolated), isolated=True)

    def _bury_dead(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        if child.reader >= 0:
            self._selector.unregister(child.reader)
            child.listen()
            child.close()
        code = os.waitstatus_to_exitcode(status)
        state = child.board.state
        if self._upkeep is None:
            self._never_started(state, status)
        elif state == DENIED:
            self._code = code
            self._upkeep.died(child, "refused by Redis", charged=False)
            if not self._signals:  # as if we had been told: the next worker would fare no better
                self._signals.append(signal.SIGTERM)
        elif state == ENDED and code == 0:
            self._upkeep.ended(child)
        elif not (self._signals and state == STARTING):
            self._died(self._upkeep, child, how_it_ended(status))

    def _never_started(self, state: int, status: int) -> None:
        """Note that the first worker never found the app: neither would the next one."""
        if self._signals:
            return
        code = os.waitstatus_to_exitcode(status)
        self._code = code if code > 0 else 1
        if state == STARTING:
            log.error("worker died while it was starting: %s", how_it_ended(status))

    def _died(self, upkeep: Upkeep, child: Child, how: str) -> None:
        upkeep.died(child, how, charged=len(self._signals) < 2)
        if self._signals or child.isolated:
            return
        log.warning("worker died pid=%d %s", child.pid, how)
        self._restarts.append((self._restart_at(child), child.slot))

    def _restart_at(self, child: Child) -> float:
        now = self._clock.monotonic()
        if now - child.born > SHORT_LIFE:
            self._short_lives = 0
            return now
        # What died in a job will not run that one again, and the jobs behind it need not wait. But
        # a library that is broken for all jobs must not burn through the queue.
        spared = SPARED if child.board.running else 0
        least, most = RESTART
        pauses = self._short_lives - spared
        self._short_lives += 1
        if pauses < 0:
            return now
        pause = min(most, least * 2.0**pauses)
        log.error("worker died at once: starting the next one in %.1f s", pause)
        return now + pause

    def _restart_due(self) -> None:
        if self._signals:
            self._restarts.clear()
        now = self._clock.monotonic()
        for at, slot in [one for one in self._restarts if one[0] <= now]:
            self._restarts.remove((at, slot))
            self._start(slot)

    # signals

    def _catch_signals(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: self._signals.append(got))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ)
        return reader

    def _handle_signals(self) -> None:
        while self._handled < len(self._signals):
            self._handled += 1
            if self._handled == 1:
                running = sum(child.board.running for child in self._children.values())
                self._on_stopping(running)
                for child in self._children.values():
                    child.signal(signal.SIGTERM)
                if self._upkeep is not None:
                    self._upkeep.drain(list(self._children.values()))
            else:
                self._code = CUT_SHORT + self._signals[0]
                for child in self._children.values():
                    child.signal(signal.SIGKILL)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass
