"""The thread that looks after outcomes and waiting jobs while the main thread runs one."""

import logging
import random
import threading
from collections.abc import Callable

from jobq.errors import StoreUnavailable
from jobq.runtime.executors.limits import FLUSH
from jobq.runtime.link import Link

log = logging.getLogger("jobq.worker")


class Relief(threading.Thread):
    """Calls something every 10 ms while a batch runs.

    Args:
        relieve: what is called, with the link of this thread.
    """

    def __init__(self, relieve: Callable[[Link], None], link: Link) -> None:
        super().__init__(name="jobq-relief", daemon=True)
        self._relieve = relieve
        self._link = link
        self._wanted = threading.Event()
        self._over = threading.Event()

    def watch(self) -> None:
        """From now on a job may be taking long."""
        self._wanted.set()

    def rest(self) -> None:
        """No job runs."""
        self._wanted.clear()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._wanted.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Look every 10 ms while a batch runs."""
        link = self._link
        while not self._over.is_set():
            self._wanted.wait()
            self._over.wait(FLUSH)
            try:
                self._relieve(link)
                if link.refused:
                    self._over.wait(1.0)
            except StoreUnavailable:
                self._over.wait(random.uniform(0.5, 1.0))  # noqa: S311  jitter
            except Exception:  # this thread must not die: nothing else would flush
                log.exception("failed to relieve")
                self._over.wait(1.0)
