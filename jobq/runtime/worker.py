"""A worker: the child process that fetches jobs and runs user code."""

import gc
import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol

from jobq.core.clock import SystemClock
from jobq.core.ports import Application
from jobq.errors import ConfigError
from jobq.runtime.attempts import Attempts
from jobq.runtime.board import ENDED, MOST_QUEUES, Board
from jobq.runtime.executors.inline import InlineExecutor
from jobq.runtime.executors.plan import Plan
from jobq.runtime.hello import Hello
from jobq.runtime.settings import WorkerSettings
from jobq.store.address import Address, parse_url
from jobq.store.connection import Connection

log = logging.getLogger("jobq.worker")

#: Seconds between looks whether the supervisor still lives.
GUARD: Final = 1.0


class Executor(Protocol):
    """What runs the jobs of a worker."""

    def run(self) -> None:
        """Fetch and run until stopped."""

    def stop(self) -> None:
        """Finish what runs, give the rest back, and end; safe in a signal handler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask:
    """What one worker is to do.

    Attributes:
        load_app: imports the app and tells what it is called; user code runs from here on.
        settings: those of the supervisor.
        consumer: this worker, as Redis knows it.
        isolated: only take suspects (jobs whose process died before), one at a time, and end
            when there is none.
    """

    load_app: Callable[[], tuple[Application, str]]
    settings: WorkerSettings
    consumer: str
    isolated: bool = False


def run_worker(task: WorkerTask, board: Board, say_hello: Callable[[Hello], None]) -> None:
    """Be a worker until told to stop, in a process of its own.

    Raises:
        Exception: what importing the app raised; or `StoreDenied`.
    """
    stop = _Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the supervisor decides
    signal.signal(signal.SIGTERM, stop.on_signal)
    app, called = task.load_app()
    queues = task.settings.queues or tuple(app.registry.queues()) or ("default",)
    if len(queues) > MOST_QUEUES:
        raise ConfigError(f"{len(queues)} queues: a worker reads at most {MOST_QUEUES}; use -q")
    definitions = [app.registry.get(name) for name in app.registry.names()]
    has_async = any(one is not None and one.is_async for one in definitions)
    has_sync = any(one is not None and not one.is_async for one in definitions)
    say_hello(
        Hello(
            url=app.redis_url(),
            safe_url=app.safe_url(),
            app=called,
            queues=queues,
            jobs=tuple(app.registry.names()),
        )
    )
    # What the app has imported lives as long as the process: no need to look through it again.
    gc.freeze()
    executor = _executor(task, app, board, queues, has_sync=has_sync, has_async=has_async)
    stop.bind(executor)
    threading.Thread(target=_guard, args=(executor,), name="jobq-guard", daemon=True).start()
    executor.run()
    board.says(ENDED)


def _executor(
    task: WorkerTask,
    app: Application,
    board: Board,
    queues: tuple[str, ...],
    *,
    has_sync: bool,
    has_async: bool,
) -> Executor:
    settings = task.settings
    attempts = Attempts(
        app.registry,
        app.codec,
        consumer=task.consumer,
        clock=SystemClock(),
        rng=random.random,  # noqa: S311  jitter
    )

    def locate() -> Address:
        return parse_url(app.redis_url())

    plan = Plan(
        queues=queues,
        consumer=task.consumer,
        threads=1 if task.isolated else settings.threads,
        concurrency=1 if task.isolated else settings.concurrency,
        has_sync=has_sync or not has_async,
        has_async=has_async,
        burst=settings.burst,
        isolated=task.isolated,
    )
    if not has_async and plan.threads == 1:
        return InlineExecutor(plan, attempts, lambda: Connection(locate), board, SystemClock())
    # asyncio costs 10 MB and 45 ms, which workers of sync jobs do not pay.
    loop = import_module("jobq.runtime.executors.loop")
    executor: Executor = loop.LoopExecutor(plan, attempts, locate, board, SystemClock())
    return executor


class _Stop:
    """SIGTERM: stop the executor, or the start of it."""

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._asked = False

    def bind(self, executor: Executor) -> None:
        self._executor = executor
        if self._asked:
            executor.stop()

    def on_signal(self, _number: int, _frame: object) -> None:
        self._asked = True
        if self._executor is not None:
            self._executor.stop()
        else:
            # Still importing: nothing is held, and user code could catch a SystemExit.
            os._exit(0)


def _guard(executor: Executor) -> None:
    """Stop when the supervisor has died: nobody renews our leases any more."""
    parent = os.getppid()
    over = threading.Event()
    while not over.wait(GUARD):
        if os.getppid() != parent:
            log.error("stopping: the supervisor has died")
            executor.stop()
            return
