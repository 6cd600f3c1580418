"""Opening a connection: the socket, TLS, and the words that are said first."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobq.errors import StoreError, StoreUnavailable
from jobq.store.address import Address, Tls
from jobq.store.wire import Word, error_of

if TYPE_CHECKING:
    import ssl

Locate = Callable[[], Address]

#: How OpenSSL numbers certificates for another host name, and for another address.
_OTHER_NAME = frozenset((62, 64))

#: Seconds to wait for a connection to be accepted.
CONNECT_TIMEOUT = 5.0

#: Seconds to wait for a reply beyond the time that a command itself may block. A healthy server
#: answers within milliseconds; a frozen one is taken for gone.
REPLY_TIMEOUT = 5.0


def greeting(address: Address, *, resp3: bool, name: str) -> list[tuple[Word, ...]]:
    """Return the commands that open a session: protocol, user, database, name; the last is TIME."""
    words: list[tuple[Word, ...]] = []
    if address.password or address.username:
        user = (address.username,) if address.username else ()
        words.append(("AUTH", *user, address.password or ""))
    if resp3:
        words.append(("HELLO", 3))
    if address.db:
        words.append(("SELECT", address.db))
    words.append(("CLIENT", "SETNAME", name))
    words.append(("TIME",))
    return words


def context(tls: Tls) -> "ssl.SSLContext":
    """Return the TLS context for an address; the server's certificate is checked by default."""
    import ssl  # noqa: PLC0415  5 ms, and few use TLS

    made = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify or not tls.check_hostname:
        made.check_hostname = False
    if not tls.verify:
        made.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        made.load_cert_chain(tls.cert_file, tls.key_file)
    return made


def dial(address: Address) -> socket.socket:
    """Return a connected socket.

    Raises:
        StoreUnavailable: nobody answers there.
    """
    sock = None
    try:
        if address.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(CONNECT_TIMEOUT)
            sock.connect(address.path)
            return sock
        sock = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT)
        keep_alive(sock)
        if address.tls:
            return context(address.tls).wrap_socket(sock, server_hostname=address.host)
        return sock
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that no DNS name can be
        if sock is not None:
            sock.close()
        raise unreachable(address, error) from error


def keep_alive(sock: socket.socket) -> None:
    """Send small commands at once, and notice a peer that has vanished."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def unreachable(address: Address, error: Exception) -> StoreUnavailable:
    """Return the error for a server that does not answer, with its fix."""
    why = str(error) or type(error).__name__
    if isinstance(error, OSError):
        why = error.strerror or why
    fix = _tls_fix(address.tls, error) if address.tls else ""
    fix = fix or (
        "Start it there, set JOBQ_REDIS_URL to where it is, or unset JOBQ_REDIS_URL for the "
        "embedded server."
    )
    return StoreUnavailable(f"cannot reach Redis at {address.safe}: {why}. {fix}")


def _tls_fix(tls: Tls, error: Exception) -> str:
    """Return what to do about a session with TLS that failed; empty: it was not the TLS."""
    # By names: importing ssl takes 5 ms, and few use TLS.
    reason = getattr(error, "reason", None)
    if getattr(error, "verify_code", None) in _OTHER_NAME:
        return (
            "Its certificate is for another name: use that as the host of the URL, or add "
            "?ssl_check_hostname=false to check only who has signed it."
        )
    if hasattr(error, "verify_code"):
        return (
            "Its certificate is signed by nobody who is trusted here: name the file of its CA "
            "with ?ssl_ca_certs=/path/ca.pem in the URL."
        )
    if isinstance(error, FileNotFoundError | PermissionError):
        return "It is a file that the URL names: ssl_ca_certs, ssl_certfile or ssl_keyfile."
    if isinstance(error, TimeoutError) or reason == "WRONG_VERSION_NUMBER":
        return "If it does not speak TLS there, use its TLS port, or redis:// without TLS."
    # In TLS 1.3 a server hangs up on a client without a certificate after it has greeted it.
    hung_up = isinstance(error, ConnectionError) or type(error).__name__ == "SSLEOFError"
    wanted = isinstance(reason, str) and "CERTIFICATE_REQUIRED" in reason
    if wanted or (hung_up and not tls.cert_file and not isinstance(error, ConnectionRefusedError)):
        return (
            "If it wants a certificate of its clients, add "
            "?ssl_certfile=/path/crt.pem&ssl_keyfile=/path/key.pem to the URL."
        )
    return ""


def not_greeted(address: Address, reply: Exception) -> StoreError:
    """Return the error for a server that refuses a word of the greeting.

    One that does not know AUTH repeats what stood behind it.
    """
    said = str(reply)
    for secret in filter(None, (address.password, address.username)):
        said = said.replace(secret, "***")
    return error_of(type(reply)(said))


def not_redis(address: Address | None, error: Exception) -> StoreUnavailable:
    """Return the error for a peer that does not speak Redis's protocol."""
    where = address.safe if address else "that address"
    return StoreUnavailable(f"what answers at {where} is not Redis: {error}. Check the URL.")
