"""The hooks of an app in a test: called as in a worker, but for webhooks, which are left out."""

from typing import Final

from jobq.client.app import JobQ
from jobq.core.clock import SystemClock
from jobq.core.hooks import Hooks
from jobq.runtime.attempts import Attempts
from jobq.runtime.hooks import Informer
from jobq.store.connection import Connection

#: Seconds that hooks may take before a test goes on without them.
PATIENCE: Final = 10.0


class Telling:
    """Lets the hooks of an app hear of failures, and waits until they have.

    Args:
        app: the app.
        attempts: what settles its jobs.
    """

    def __init__(self, app: JobQ, attempts: Attempts) -> None:
        self._app = app
        self._attempts = attempts
        self._informer: Informer | None = None

    def begin(self) -> None:
        """Look whether there are hooks; the test may have registered the first one just now."""
        hooks = self._app.hooks
        if not (hooks.on_failure or hooks.on_dead):
            return
        if self._informer is None:
            self._informer = self._start(hooks)
        self._attempts.tell(self._informer.listener)

    def has_settled(self) -> None:
        """Wait until the hooks have been called for what was settled."""
        if self._informer is not None:
            self._informer.flush(PATIENCE)

    def end(self) -> None:
        """End the thread that calls them."""
        if self._informer is not None:
            self._attempts.tell(None)
            self._informer.stop()
            self._informer = None

    def _start(self, hooks: Hooks) -> Informer:
        told = Hooks()
        told.on_failure, told.on_dead = hooks.on_failure, hooks.on_dead  # the lists: they can grow
        locate = self._app.store.locate
        informer = Informer(told, (), lambda: Connection(locate), SystemClock())
        informer.start()
        return informer
