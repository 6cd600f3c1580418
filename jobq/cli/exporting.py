"""The metrics that `jobq worker --metrics` shows, from a process beside its workers."""

import socket
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from jobq.errors import ConfigError
from jobq.observe.listening import address_of, listen


class Exporting:
    """What the process beside the workers does; see `jobq.runtime.aside.Duty`.

    Nothing of it is imported before it is in that process: the supervisor stays as small as it was.

    Args:
        listening: where it serves.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://{address_of(self._listening)}/metrics"

    def run(self, url: str, is_over: Callable[[], bool]) -> int:
        """Serve the metrics until it is over."""
        import_module("jobq.cli.metrics").serve_url(url, self._listening, is_over)
        return 0

    def forget(self) -> None:
        """Close the socket."""
        self._listening.close()


def exporting(where: str | None) -> Exporting | None:
    """Return what is to be done for ``--metrics``.

    Args:
        where: its address; None: the option is not given.

    Raises:
        ConfigError: the extra is not installed, or nobody can listen there.
    """
    if where is None:
        return None
    if find_spec("prometheus_client") is None:
        raise ConfigError("--metrics needs prometheus-client: pip install 'jobq[prometheus]'")
    return Exporting(listen(where))
