"""Where an app's Redis is: what was given to it, JOBQ_REDIS_URL, or the embedded server."""

import os
from pathlib import Path
from typing import Final

from jobq.client.late import EMBEDDED as SERVER
from jobq.client.late import load
from jobq.errors import ConfigError
from jobq.store.address import FORMS, parse_url

#: Names the Redis of every app that was given no URL.
VARIABLE: Final = "JOBQ_REDIS_URL"

#: The scheme of the private server.
EMBEDDED: Final = "embedded:"


class Where:
    """Where Redis is.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; ``embedded:`` for the private server of
            the project, ``embedded:///directory`` for one with its data there; None: what
            JOBQ_REDIS_URL says at first use, else ``embedded:``.

    Raises:
        ConfigError: the URL has none of these forms.
    """

    __slots__ = ("_given", "_url")

    def __init__(self, url: str | None) -> None:
        self._given = url
        self._url: str | None = None
        if url is not None:
            _check(url)

    def redis_url(self) -> str:
        """Return the URL of a live Redis. See `jobq.core.ports.Application`."""
        url = self._known()
        if not url.startswith(EMBEDDED):
            return url
        from urllib.parse import quote  # noqa: PLC0415  3 ms, at the first connect

        return f"unix://{quote(str(load(SERVER).ensure(_home(url))))}"

    def safe_url(self) -> str:
        """Return where it is, for people. See `jobq.core.ports.Application`."""
        url = self._known()
        if not url.startswith(EMBEDDED):
            return parse_url(url).safe
        return f"{EMBEDDED}//{_home(url) or load(SERVER).find_home()}"

    def forget(self) -> None:
        """Ask JOBQ_REDIS_URL again at the next use."""
        self._url = None

    def _known(self) -> str:
        # Remembered: one app must not talk to two servers because a variable changed.
        if self._url is None:
            url = self._given or os.environ.get(VARIABLE) or EMBEDDED
            _check(url)
            self._url = url
        return self._url


def _check(url: str) -> None:
    if url.startswith(EMBEDDED):
        _home(url)
    else:
        parse_url(url)


def _home(url: str) -> Path | None:
    """Return the directory that an ``embedded:`` URL names, or None.

    Raises:
        ConfigError: it names none, and is not just ``embedded:`` either.
    """
    rest = url.removeprefix(EMBEDDED)
    if not rest:
        return None
    if not rest.startswith("///"):
        raise ConfigError(
            f"{url!r} cannot be read: use embedded: for the server of this project, or "
            f"embedded:///absolute/directory for one with its data there. Forms: {FORMS}"
        )
    from urllib.parse import unquote  # noqa: PLC0415  3 ms, which few need

    return Path(unquote(rest.removeprefix("//")))
