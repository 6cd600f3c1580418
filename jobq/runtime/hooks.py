"""The hooks of an app that are called on failures, in a thread of their own in each worker.

Guarantees:
    * a job never waits for a hook, and no hook can end a worker;
    * for each job that became a dead letter ``on_dead`` is called at least once: also where the
      process of the job died, or that of the worker before it came to the hook. Redis has a note
      of it until then;
    * ``on_failure`` is called at most once for a failed attempt, and as a rule once.
"""

import contextlib
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from jobq.core.clock import Clock
from jobq.core.hooks import Failed, Hooks, OnFailed
from jobq.core.letter import Letter
from jobq.errors import CallUnreadable, StoreError
from jobq.runtime.describe import describe, one_line
from jobq.runtime.hearing import OTHERS_MS, Listener, failed_of, listens
from jobq.store.connection import Connection
from jobq.store.ops import hearing
from jobq.store.ops.hearing import Unheard

if TYPE_CHECKING:
    from jobq.runtime.posting import Postman

log = logging.getLogger("jobq.worker")

#: What waits to be told; of the rest, ``on_failure`` hears nothing, and ``on_dead`` hears later.
MOST: Final = 1000

#: Seconds between two looks for dead letters that others have buried, and after Redis was away.
LOOK: Final = 1.0
REST: Final = 5.0

#: Seconds that a worker which stops has for telling what is left.
FAREWELL: Final = 5.0

#: Seconds after which an async hook is ended; nothing can end one that blocks.
LIMIT: Final = 60.0

#: Dead letters of a queue that are told in one look: others want their turn.
_AT_ONCE: Final = 100


class _Runner(Protocol):
    """A loop for async hooks: that of `asyncio.Runner`."""

    def run(self, coro: Coroutine[object, object, object]) -> object: ...

    def close(self) -> None: ...


class Informer:
    """Calls the hooks of an app.

    Args:
        hooks: those of the app.
        queues: those of the worker, where others may have buried jobs.
        connect: makes a connection of its own.
        clock: monotonic.
    """

    def __init__(
        self,
        hooks: Hooks,
        queues: Sequence[str],
        connect: Callable[[], Connection],
        clock: Clock,
    ) -> None:
        self._hooks = hooks
        self._queues = queues
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None
        self._waiting: deque[tuple[Failed, bool]] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        #: Set while nothing waits; the lock lets nothing come between a look at that and the word.
        self._idle = threading.Event()
        self._lock = threading.Lock()
        self._stopping = False
        self._is_lost = False
        self._look_at = 0.0
        self._loop: _Runner | None = None
        self._postman: Postman | None = None
        self._thread = threading.Thread(target=self._run, name="jobq-hooks", daemon=True)

    @property
    def listener(self) -> Listener:
        """What those who settle attempts are to tell, by the hooks that there are now."""
        failures, deaths = listens(self._hooks)
        return Listener(failures, deaths, self.hear)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, for some seconds at most, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join(FAREWELL)
        if self._thread.is_alive():
            log.warning("left hooks uncalled failures=%d", len(self._waiting))

    def hear(self, failed: Failed, attempted: bool) -> None:
        """Take what hooks are to be told; returns at once.

        Args:
            attempted: an attempt has failed; else it died without one, such as one that expired.
        """
        if len(self._waiting) >= MOST:
            self._dropped += 1
            return
        with self._lock:
            self._waiting.append((failed, attempted))
            self._idle.clear()
        self._wake.set()

    def flush(self, patience: float) -> None:
        """Wait until hooks have been called for all that was heard, for so many seconds at most."""
        if self._waiting or not self._idle.is_set():
            self._wake.set()
            self._idle.wait(patience)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait(self._rest())
                self._wake.clear()
                self._round()
                with self._lock:
                    if not self._waiting:
                        self._idle.set()
            self._look_at = 0.0
            self._round()
        except BaseException:
            log.exception("ended hooks")
            raise
        finally:
            self._close()

    def _rest(self) -> float | None:
        if not self._wants_deaths:
            return None
        return max(0.0, self._look_at - self._clock.monotonic())

    def _round(self) -> None:
        while self._waiting:
            self._tell(*self._waiting.popleft())
        if self._dropped:
            log.error("dropped failures that hooks were too slow for failures=%d", self._dropped)
            self._dropped = 0
        if self._wants_deaths and self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK
            self._look()

    # what this worker has settled

    def _tell(self, failed: Failed, attempted: bool) -> None:
        if attempted:
            self._call("failure", self._hooks.on_failure, failed)
        if not failed.dead or not self._wants_deaths:
            return
        try:
            taken = self._ask(failed.queue, failed.id)
        except StoreError as error:  # better twice than never
            self._lost(error)
            self._call("dead", self._hooks.on_dead, failed)
            return
        if taken is not None:  # else others were faster
            self._call("dead", self._hooks.on_dead, failed)
            self._heard(failed.queue, taken)

    # what others have buried: supervisors, and workers that died before they came to the hooks

    def _look(self) -> None:
        for queue in self._queues:
            for _ in range(_AT_ONCE):
                try:
                    taken = self._ask(queue)
                except StoreError as error:
                    self._lost(error)
                    return
                if taken is None:
                    break
                if taken.dead is not None:
                    self._tell_from_redis(queue, taken)
                    self._heard(queue, taken)
                if self._waiting:  # what is known here comes first: it has its exception
                    self._look_at = 0.0
                    self._wake.set()
                    return

    def _tell_from_redis(self, queue: str, taken: Unheard) -> None:
        assert taken.dead is not None
        try:
            letter = Letter.decode(taken.dead.letter)
        except CallUnreadable as error:  # somebody wrote over it
            log.warning("skipped hooks job=%s error=%s", taken.job_id[:200], error)
            return
        failed = failed_of(queue, taken.job_id, taken.dead.call, letter)
        self._call("dead", self._hooks.on_dead, failed)

    def _heard(self, queue: str, taken: Unheard) -> None:
        if taken.dead is None:
            return
        try:
            self._exchange(hearing.heard(queue, taken))
        except StoreError as error:
            self._lost(error)

    def _ask(self, queue: str, job_id: str = "") -> Unheard | None:
        answer = self._exchange(hearing.hear(queue, job_id, ms=OTHERS_MS))
        self._is_lost = False
        return cast("Unheard | None", answer)

    def _exchange(self, op: object) -> object:
        if self._connection is None:
            self._connection = self._connect()
        (answer,) = self._connection.exchange([op])  # type: ignore[list-item]
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def _lost(self, error: StoreError) -> None:
        self._look_at = self._clock.monotonic() + REST
        if not self._is_lost:
            log.warning("cannot look for dead letters for hooks error=%s", error)
        self._is_lost = True

    @property
    def _wants_deaths(self) -> bool:
        return listens(self._hooks)[1]

    # calling

    def _call(self, event: str, hooks: Sequence[OnFailed], failed: Failed) -> None:
        for hook in hooks:
            try:
                self._call_one(hook, failed)
            except BaseException as error:  # noqa: BLE001  whatever a hook raises is its own affair
                name = getattr(hook, "__qualname__", type(hook).__name__)
                why = one_line(describe(error))
                log.error("failed hook hook=%s job=%s error=%s", name, failed.id, why)  # noqa: TRY400
        wanted = [one for one in self._hooks.webhooks if event in one.events]
        if wanted:
            postman = self._get_postman()
            for webhook in wanted:
                postman.post(webhook, event, failed)

    def _call_one(self, hook: OnFailed, failed: Failed) -> None:
        answer = hook(failed)
        if inspect.isawaitable(answer):
            asyncio = import_module("asyncio")  # 10 MB, which sync hooks do not pay
            if self._loop is None:
                self._loop = cast("_Runner", asyncio.Runner())
            self._loop.run(asyncio.wait_for(answer, LIMIT))

    def _get_postman(self) -> "Postman":
        if self._postman is None:
            made = import_module("jobq.runtime.posting").Postman(
                self._clock, lambda: self._stopping
            )
            self._postman = cast("Postman", made)
        return self._postman

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            if self._loop is not None:
                self._loop.close()
        if self._connection is not None:
            self._connection.close()
