"""The parent of the workers: it keeps their leases, starts them again, and runs no user code.

Guarantees:
    * leases are renewed from this process, which no job can block;
    * what a dead worker held is given to others at once, charged only to the job that ran;
    * a job that runs past its hard timeout is ended with its process;
    * the first SIGTERM or SIGINT lets jobs finish for as long as the grace, the second gives
      them back.
"""

import contextlib
import logging
import os
import selectors
import signal
from collections.abc import Callable

from jobq.core.clock import Clock, SystemClock
from jobq.core.ports import Application
from jobq.errors import StoreDenied
from jobq.runtime.aside import Aside, Duty
from jobq.runtime.board import DENIED, ENDED, FAILED, REPLACED, STARTING, Board
from jobq.runtime.children import Child, End, bury_dead, consumer_name, end_overdue, spawn
from jobq.runtime.hello import Hello
from jobq.runtime.replacing import Rolling, Scales
from jobq.runtime.restarting import Restarts
from jobq.runtime.rounds import TICK
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.stopping import IMPATIENT, LAST, LAST_WORDS, Stopping, Terminal
from jobq.runtime.upkeep import Hurry, Upkeep
from jobq.runtime.wakeup import empty, wakeup_pipe
from jobq.runtime.worker import WorkerTask, run_worker
from jobq.store.ops.control import DRAIN, STOP_NOW

log = logging.getLogger("jobq.supervisor")


class Supervisor:
    """Starts workers and looks after them until told to stop.

    Args:
        load_app: imports the app and tells what it is called; called in the workers only.
        on_ready: called once, when the first worker has found the app.
        on_error: reports what kept a worker from starting; returns its exit code.
        on_stopping: called about ten times a second from the first signal on, with the running
            jobs and the seconds that they still have; and with None when all have ended.
        aside: what one more process beside the workers does; None: there is none.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        load_app: Callable[[], tuple[Application, str]],
        *,
        on_ready: Callable[[Hello], None],
        on_error: Callable[[BaseException], int],
        on_stopping: Callable[[tuple[int, float] | None], None],
        aside: Duty | None = None,
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
        self._stopping = Stopping(settings.grace, clock)
        self._rolling = Rolling(self._start, clock)
        self._scales = Scales(settings.max_rss, clock)
        self._draining = False
        self._told = False
        self._hangups = 0
        self._restarts = Restarts(clock)
        self._aside = Aside(aside, clock)
        self._code = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Run until stopped, or until the queues are empty in a burst; return the exit code."""
        self._terminal = Terminal()
        wake = self._catch_signals()
        self._start(0)
        try:
            while self._children or self._restarts or self._stays:
                self._wait(wake)
                self._obey()
                end_overdue(self._children.values(), self._clock.monotonic())
                for pid, end in bury_dead():
                    self._aside.ended(pid, end)
                    if (child := self._children.pop(pid, None)) is not None:
                        self._ended(child, end)
                self._restart_due()
                self._replace()
                self._look_after()
                self._aside.look(self._forget)
        finally:
            for child in self._children.values():
                child.kill()
            self._aside.stop()
            self._say_goodbye()
        return self._code

    @property
    def _stays(self) -> bool:
        """Whether it stays without workers: drained, it waits to be told to stop."""
        return self._draining and not self._stopping.asked and not self._settings.burst

    @property
    def _is_quitting(self) -> bool:
        """Whether no worker is to be started any more."""
        return self._draining or self._stopping.asked

    def _wait(self, wake: int) -> None:
        upkeep = None if self._stopping.now else self._upkeep
        for key, _ in self._selector.select(upkeep.rest if upkeep else TICK):
            if key.fd == wake:
                empty(wake)
            else:
                self._hear(key.data)

    def _hear(self, child: Child) -> None:
        self._selector.unregister(child.reader)
        try:
            hello = child.listen()
        except (ValueError, OSError) as error:
            log.error("killed silent worker pid=%d error=%s", child.pid, error)  # noqa: TRY400
            child.signal(signal.SIGKILL)
            return
        if child.reader >= 0:  # a long hello comes in pieces
            self._selector.register(child.reader, selectors.EVENT_READ, child)
        elif hello is None:  # it has ended, or user code has closed the pipe: it can say nothing
            child.signal(signal.SIGKILL)
        else:
            self._heard(child, hello)

    def _hear_out(self, child: Child) -> None:
        """Hear what a worker that has ended may still have said."""
        if child.reader < 0:
            return
        self._selector.unregister(child.reader)
        with contextlib.suppress(ValueError, OSError):
            while child.reader >= 0:
                child.listen()
        child.close()
        if child.hello is not None:
            self._heard(child, child.hello)

    def _heard(self, child: Child, hello: Hello) -> None:
        """Begin the upkeep, and start the other workers, when the first one has found the app."""
        if self._upkeep is not None:
            self._upkeep.met(hello)
            self._rolling.arrived(child)
            return
        self._upkeep = Upkeep(hello, self._settings, clock=self._clock)
        self._on_ready(hello)
        self._aside.begin(hello.url)
        if self._stopping.asked:  # nobody would tell those that are started now
            self._upkeep.now_is("stopping")
            return
        for slot in range(1, self._settings.processes):
            self._start(slot)

    def _start(self, slot: int, *, isolated: bool = False) -> Child:
        consumer = consumer_name(self._settings.name, slot)
        task = WorkerTask(
            load_app=self._load_app,
            settings=self._settings,
            consumer=consumer,
            supervisor=os.getpid(),
            isolated=isolated,
        )

        def run(board: Board, say_hello: Callable[[Hello], None]) -> int:
            self._forget()
            self._aside.forget()
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
        return child

    def _forget(self) -> None:
        """In a new process: close what belongs to the supervisor."""
        self._selector.close()
        if self._upkeep is not None:
            self._upkeep.forget()

    # what is done in each round

    def _restart_due(self) -> None:
        if self._is_quitting:
            self._restarts.clear()
        for slot in self._restarts.due():
            if not self._is_taken(slot):
                self._start(slot)

    def _replace(self) -> None:
        if self._is_quitting or self._upkeep is None:
            return
        self._rolling.step(self._children.values())
        if self._rolling.active:
            return
        for child in self._scales.heavy(self._children.values()):
            child.leave()
            if not child.isolated:
                self._start(child.slot)

    def _look_after(self) -> None:
        upkeep = self._upkeep
        ending = self._stopping.asked and not self._children  # the last words will say it all
        if upkeep is None or self._stopping.now or ending:
            return
        if self._draining and not self._stopping.asked:
            state = "draining" if self._children else "drained"
            if upkeep.state != state:
                upkeep.now_is(state)
        try:
            upkeep.tick(list(self._children.values()))
        except Hurry:
            return
        if upkeep.suspects_wait and not self._is_quitting:
            self._start_isolated()

    def _start_isolated(self) -> None:
        """Start a worker for suspects: whatever they do, they do it to nobody else."""
        isolated = [child for child in self._children.values() if child.isolated]
        if any(child.board.state == STARTING for child in isolated):
            return
        if len(isolated) < self._settings.processes:
            self._start(self._settings.processes + len(isolated), isolated=True)

    # the ends of workers

    def _ended(self, child: Child, end: End) -> None:
        self._hear_out(child)
        state, upkeep = child.board.state, self._upkeep
        if upkeep is None:
            self._never_started(state, end)
        elif self._rolling.failed(child):
            if not self._is_taken(child.slot):  # the old one died meanwhile
                self._restarts.after(child)
        elif state == DENIED:
            self._code = end.code
            upkeep.died(child, child.fates(end, charged=False))
            if not self._stopping.asked:  # as if told: the next worker would fare no better
                self._stopping.ask(signal.SIGTERM)
        elif state in {ENDED, REPLACED} and end.code == 0:
            upkeep.died(child, {})  # it gave everything back itself
            self._follow(child, state)
        else:
            self._died(upkeep, child, end)

    def _never_started(self, state: int, end: End) -> None:
        """Note that the first worker never found the app: neither would the next one."""
        if self._stopping.asked:
            return
        self._code = end.code if end.code > 0 else 1
        if state == STARTING:
            log.error("worker died while it was starting end=%s", end)

    def _follow(self, child: Child, state: int) -> None:
        """Let another worker follow one that ended well, if there is more to do."""
        if child.leaving or child.isolated or self._stopping.asked:
            return
        if state == REPLACED:
            log.info("replacing worker pid=%d reason='it has run its jobs'", child.pid)
            self._restarts.now(child.slot)
        elif not self._settings.burst:
            log.warning("worker ended by itself pid=%d", child.pid)
            self._restarts.after(child)

    def _died(self, upkeep: Upkeep, child: Child, end: End) -> None:
        upkeep.died(child, child.fates(end))
        told = self._stopping.asked or child.leaving
        if self._stopping.asked or child.isolated or (told and child.board.state == STARTING):
            return
        if child.cut and not child.leaving:
            self._restarts.now(child.slot)
        elif not child.cut:
            log.warning("worker died pid=%d end=%s", child.pid, end)
            if not child.leaving:
                self._restarts.after(child)

    def _is_taken(self, slot: int) -> bool:
        every = self._children.values()
        return any(one.slot == slot and not one.leaving and not one.cut for one in every)

    # what it is told

    def _catch_signals(self) -> int:
        reader = wakeup_pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)
        signal.signal(signal.SIGALRM, self._on_alarm)
        for number in (signal.SIGCHLD, signal.SIGUSR1):  # the second is for workers, not for us
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ)
        return reader

    def _on_stop(self, number: int, _frame: object) -> None:
        self._stopping.ask(number)
        if self._stopping.now and self._upkeep is not None:
            self._upkeep.hurry()

    def _on_hangup(self, *_: object) -> None:
        self._hangups += 1

    def _on_alarm(self, *_: object) -> None:
        """End a wait for Redis, if it has taken long: there is something more urgent."""
        if self._upkeep is None:
            return
        since = self._upkeep.waits_since
        short = since > 0 and self._clock.monotonic() - since < IMPATIENT
        left = self._stopping.left
        signal.setitimer(signal.ITIMER_REAL, IMPATIENT if short or left <= 0 else left)
        if not short:
            self._upkeep.hurry()

    def _obey(self) -> None:
        """Do what signals and the control stream say."""
        if self._upkeep is not None:
            for order in self._upkeep.control.orders:
                self._take_order(order)
            self._upkeep.control.orders.clear()
        if self._hangups and (self._upkeep is not None or self._terminal.is_gone):
            self._hangups = 0
            self._restart_all()
        if self._stopping.asked:
            self._stop()

    def _take_order(self, order: str) -> None:
        if order == DRAIN:
            self._draining = True
            self._rolling.cancel()
            for child in self._children.values():
                child.leave()
            return
        if not self._stopping.asked:
            self._stopping.ask(signal.SIGTERM)
        if order == STOP_NOW and not self._stopping.now:
            self._stopping.ask(signal.SIGTERM)

    def _restart_all(self) -> None:
        if self._terminal.is_gone:
            self._stopping.ask(signal.SIGHUP)
        elif self._is_quitting:
            log.warning("ignored SIGHUP reason='no workers to restart, only some to end'")
        else:
            self._restarts.hurry()
            self._rolling.begin()

    def _stop(self) -> None:
        every, stopping = list(self._children.values()), self._stopping
        if not self._told:
            self._told = True
            self._rolling.cancel()
            for child in every:
                child.signal(signal.SIGTERM)
            if self._upkeep is not None:
                self._upkeep.now_is("stopping")
        running = {child.pid: child.board.running for child in every if not child.cut}
        self._on_stopping((sum(running.values()), max(0.0, stopping.left)))
        if not stopping.now and stopping.left > 0:
            return
        for child in every:
            if stopping.now or running.get(child.pid) or stopping.left < -LAST:
                self._cut(child)

    def _cut(self, child: Child) -> None:
        if not child.cut and (self._stopping.now or child.board.running):
            self._code = self._stopping.code
        child.kill()

    def _say_goodbye(self) -> None:
        if self._stopping.asked:
            self._on_stopping(None)
        if self._upkeep is None:
            return
        late = self._stopping.now or (self._stopping.asked and self._stopping.left <= 0)
        signal.setitimer(signal.ITIMER_REAL, LAST_WORDS[not late])
        try:
            self._upkeep.leave()
        except Hurry:
            log.warning("left without a word error='Redis does not answer'")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
