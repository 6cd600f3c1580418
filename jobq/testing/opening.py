"""Opening a session: one at a time, for they share the private server of the process."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from jobq.client.app import JobQ
from jobq.errors import ConfigError
from jobq.testing.server import private_server
from jobq.testing.session import Session


@contextmanager
def session(app: JobQ | None = None, *, inline: bool = False) -> Iterator[Session]:
    """Give a test a Redis of its own, empty, on a private server of this process.

    Args:
        app: the app to use, whatever its URL; None: see `Session.app`.
        inline: see `Session.inline`.

    Raises:
        ServerError: there is no server binary, or it does not start; tells the fixes.
        ConfigError: a session is open already: both would empty the same server.
    """
    if _open:
        raise ConfigError("a session of jobq.testing is open in this process: use that one")
    made = Session(private_server.url())
    _open.append(made)
    try:
        made.open()
        if app is not None:
            made.use(app)
        with made.inline() if inline else ExitStack():
            yield made
    finally:
        _open.pop()
        made.close()


#: The session that is open, if one is.
_open: Final[list[Session]] = []
