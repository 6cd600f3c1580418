"""The private server of a test process: in a folder of its own, thrown away when that ends."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from jobq.embedded import ensure
from jobq.embedded.control import server_url, stop


class PrivateServer:
    """A server of one process, started when it is first asked for."""

    def __init__(self) -> None:
        self._home: Path | None = None
        self._owner = 0

    def url(self) -> str:
        """Return where it listens; started if it does not run.

        Raises:
            ServerError: there is no binary, or it does not start; tells the fixes.
        """
        if self._home is None:
            # Not pytest's folder: the path of a socket is short.
            self._home = Path(tempfile.mkdtemp(prefix="jobq-test-")).resolve()
            self._owner = os.getpid()
            atexit.register(self.stop)
        try:
            return server_url(ensure(self._home, announce=_quietly))
        except BaseException:
            self._throw_away()
            raise

    def stop(self) -> None:
        """Stop it and throw its data away; nothing if it was never started, or in a fork."""
        if self._home is not None and self._owner == os.getpid():
            stop(self._home)
            self._throw_away()

    def _throw_away(self) -> None:
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None
            atexit.unregister(self.stop)


def _quietly(_line: str) -> None:
    """Do not say that a server was started: in tests that is no news."""


#: That of this process.
private_server: Final = PrivateServer()
