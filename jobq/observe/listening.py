"""Where the metrics are served: a socket, made before anything else is started."""

import socket
from errno import EADDRINUSE
from typing import Final

from jobq.errors import ConfigError

#: Connections that may wait to be accepted, also while the process that serves is started anew.
_BACKLOG: Final = 64


def host_and_port(address: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, such as ``127.0.0.1:9464`` or ``[::1]:9464``; port 0: a free one.

    Raises:
        ConfigError: it is none.
    """
    host, _, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise ConfigError(
            f"{address[:60]!r} is no HOST:PORT. Use 127.0.0.1:9464, or 0.0.0.0:9464 to be reached "
            "from other machines"
        )
    return host, int(port)


def listen(address: str) -> socket.socket:
    """Return a socket that listens.

    Args:
        address: see `host_and_port`.

    Raises:
        ConfigError: that is none, or nobody can listen there.
    """
    host, port = host_and_port(address)
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(where)
            found.listen(_BACKLOG)
        except BaseException:
            found.close()
            raise
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {address[:60]}: {_why(error)}") from None
    return found


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno == EADDRINUSE:
        return "the address is in use by another process. Stop that one, or use another port"
    return str(error)


def address_of(listening: socket.socket) -> str:
    """Return where a socket listens, as ``HOST:PORT``."""
    host, port, *_ = listening.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
