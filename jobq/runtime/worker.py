"""A worker: the child process that fetches jobs and runs user code.

It obeys two signals: SIGTERM ends it when the job that runs has ended, and SIGUSR1 says that there
are notes on the board, about jobs that are to end. Jobs leave both alone.
"""

import gc
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Protocol, cast

from jobq.core.clock import SystemClock
from jobq.core.ports import Application
from jobq.errors import ConfigError
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import ENDED, MOST_QUEUES, REPLACED, Board
from jobq.runtime.declared import declared_by
from jobq.runtime.executors.inline import InlineExecutor
from jobq.runtime.executors.plan import Plan
from jobq.runtime.hearing import listens
from jobq.runtime.hello import Hello, travelling
from jobq.runtime.notes import Notes
from jobq.runtime.orphan import Guard
from jobq.runtime.redis_time import redis_ms
from jobq.runtime.reporter import Reporter
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.signed import make_attempts
from jobq.store.address import parse_url
from jobq.store.connect import Locate
from jobq.store.connection import Connection

if TYPE_CHECKING:
    from jobq.runtime.hooks import Informer

log = logging.getLogger("jobq.worker")


class Executor(Protocol):
    """What runs the jobs of a worker."""

    def run(self) -> None:
        """Fetch and run until stopped."""

    def stop(self) -> None:
        """Finish what runs, give the rest back, and end; safe in a signal handler."""

    def interrupt(self, frame: FrameType | None) -> None:
        """Read the notes; raises JobInterrupted out of the signal handler, in the job."""

    @property
    def replaced(self) -> bool:
        """Whether it has run as many jobs as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask:
    """What one worker is to do.

    Attributes:
        load_app: imports the app and tells what it is called; user code runs from here on.
        settings: those of the supervisor.
        consumer: this worker, as Redis knows it.
        supervisor: the process that starts it. Not asked for in the worker, which would take
            whoever has adopted it for its supervisor if that dies just then.
        isolated: only take suspects (jobs whose process died before), one at a time, and end
            when there is none.
    """

    load_app: Callable[[], tuple[Application, str]]
    settings: WorkerSettings
    consumer: str
    supervisor: int
    isolated: bool = False


def run_worker(task: WorkerTask, board: Board, say_hello: Callable[[Hello], None]) -> None:
    """Be a worker until told to stop, in a process of its own.

    Raises:
        Exception: what importing the app raised; or `StoreDenied`.
    """
    signals = _Signals()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the supervisor decides
    signal.signal(signal.SIGTERM, signals.on_stop)
    signal.signal(signal.SIGUSR1, signals.on_notes)
    app, called = task.load_app()
    queues = task.settings.queues or tuple(app.registry.queues()) or ("default",)
    if len(queues) > MOST_QUEUES:
        raise ConfigError(f"{len(queues)} queues: a worker reads at most {MOST_QUEUES}; use -q")
    definitions = [app.registry.get(name) for name in app.registry.names()]
    has_async = any(one is not None and one.is_async for one in definitions)
    has_sync = any(one is not None and not one.is_async for one in definitions)
    now_ms = redis_ms(board, SystemClock(), _locate(app))
    # First: a key that cannot be used ends it all.
    attempts = make_attempts(app, consumer=task.consumer, now_ms=now_ms)
    say_hello(
        Hello(
            url=app.redis_url(),
            safe_url=app.safe_url(),
            app=called,
            queues=queues,
            jobs=tuple(app.registry.names()),
            lease=app.lease,
            policies=travelling(one for one in definitions if one is not None),
            kinds=("both" if has_sync else "async") if has_async else "sync",
            declared=declared_by(app, called),
            listens=listens(app.hooks)[1],
        )
    )
    # What the app has imported lives as long as the process: no need to look through it again.
    gc.freeze()
    executor = _executor(task, app, attempts, board, queues, has_sync=has_sync, has_async=has_async)
    signals.bind(executor)
    guard = Guard(
        task.supervisor,
        executor.stop,
        lambda: Connection(_locate(app)),
        board,
        queues=queues,
        consumer=task.consumer,
        lease=task.settings.lease or app.lease,
        clock=SystemClock(),
    )
    guard.start()
    hooks_end = _start_hooks(app, attempts, queues)
    try:
        executor.run()
    finally:
        hooks_end()
    board.says(REPLACED if executor.replaced else ENDED)


def _start_hooks(
    app: Application, attempts: Attempts, queues: tuple[str, ...]
) -> Callable[[], None]:
    """Let the hooks of the app hear of failures; what is returned lets them hear the last ones."""
    if not any(listens(app.hooks)):
        return lambda: None
    made = import_module("jobq.runtime.hooks").Informer(
        app.hooks, queues, lambda: Connection(_locate(app)), SystemClock()
    )
    informer = cast("Informer", made)
    attempts.tell(informer.listener)
    informer.start()
    return informer.stop


def _executor(
    task: WorkerTask,
    app: Application,
    attempts: Attempts,
    board: Board,
    queues: tuple[str, ...],
    *,
    has_sync: bool,
    has_async: bool,
) -> Executor:
    settings = task.settings

    clock = SystemClock()
    notes = Notes(board, queues, lease=settings.lease or app.lease, clock=clock)
    locate = _locate(app)
    notes.inside.courier = Reporter(
        lambda: Connection(locate), app.codec, app.signer, consumer=task.consumer, clock=clock
    )
    plan = Plan(
        queues=queues,
        weights=settings.weights,
        consumer=task.consumer,
        threads=1 if task.isolated else settings.threads,
        concurrency=1 if task.isolated else settings.concurrency,
        has_sync=has_sync or not has_async,
        has_async=has_async,
        burst=settings.burst,
        grace=settings.patience,
        lease=settings.lease or app.lease,
        max_jobs=None if task.isolated else settings.max_jobs,
        isolated=task.isolated,
    )
    if not has_async and plan.threads == 1:
        return InlineExecutor(plan, attempts, lambda: Connection(locate), board, clock, notes)
    # asyncio costs 10 MB and 45 ms, which workers of sync jobs do not pay.
    loop = import_module("jobq.runtime.executors.loop")
    executor: Executor = loop.LoopExecutor(plan, attempts, locate, board, clock, notes)
    return executor


def _locate(app: Application) -> Locate:
    return lambda: parse_url(app.redis_url())


class _Signals:
    """What signals do: end the executor, or the start of it; read the notes."""

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._asked = False

    def bind(self, executor: Executor) -> None:
        self._executor = executor
        if self._asked:
            executor.stop()

    def on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._executor is not None:
            self._executor.stop()
        else:
            # Still importing: nothing is held, and user code could catch a SystemExit.
            os._exit(0)

    def on_notes(self, _number: int, frame: FrameType | None) -> None:
        if self._executor is not None:
            self._executor.interrupt(frame)
