"""Where Redis is: a URL, taken apart and checked."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobq.errors import ConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DEFAULT_PORT = 6379

FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://… (TLS), "
    "unix://[user:password@]/path/to/redis.sock[?db=0], or embedded:"
)

_TLS_OPTIONS = {
    "ssl_ca_certs": "ca_file",
    "ssl_certfile": "cert_file",
    "ssl_keyfile": "key_file",
    "ssl_check_hostname": "check_hostname",
    "ssl_cert_reqs": "verify",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to check the server of a ``rediss://`` URL; the names in it are redis-py's."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    check_hostname: bool = True
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One Redis server and the user there. Never shown with its password."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: Tls | None = None

    @property
    def safe(self) -> str:
        """The URL with the password masked, for people and logs."""
        user = self.username or ""
        if self.password is not None:
            user += ":***"
        user += "@" if user else ""
        if self.path:
            return f"unix://{user}{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{user}{host}:{self.port}/{self.db}"


def parse_url(url: str) -> Address:
    """Take a URL apart.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.

    Raises:
        ConfigError: it has another form; the message never repeats a password.
    """
    from urllib.parse import parse_qs, urlsplit  # noqa: PLC0415  3 ms, at the first connect

    try:
        parts = urlsplit(url)
        given = parse_qs(parts.query, keep_blank_values=True)
        query = {name: values[-1] for name, values in given.items()}
        if parts.scheme == "unix":
            return _unix(parts, query)
        if parts.scheme in {"redis", "rediss"}:
            return _tcp(parts, query)
    except _WrongUrl as error:
        raise ConfigError(f"the Redis URL cannot be read: {error}. Forms: {FORMS}") from None
    except ValueError:  # its message may repeat a part of the password
        raise ConfigError(f"the Redis URL cannot be read. Forms: {FORMS}") from None
    scheme = parts.scheme or "none"
    raise ConfigError(f"a Redis URL cannot have the scheme {scheme!r}. Forms: {FORMS}")


class _WrongUrl(ValueError):
    """What is wrong with a URL, without a word of what may be its password."""


def _user(parts: "SplitResult") -> tuple[str | None, str | None]:
    return (
        _unquote(parts.username) if parts.username else None,
        None if parts.password is None else _unquote(parts.password),
    )


def _unix(parts: "SplitResult", query: dict[str, str]) -> Address:
    username, password = _user(parts)
    path = _unquote(parts.path)
    if not path or "\0" in path or parts.netloc.rpartition("@")[2]:
        raise _WrongUrl("unix:// needs the path of a socket, which starts with a third /")
    db = _db(query.pop("db", "0"))
    _refuse(query)
    return Address(path=path, username=username, password=password, db=db)


def _tcp(parts: "SplitResult", query: dict[str, str]) -> Address:
    outside = parts.path + parts.fragment + ("" if "@" in parts.netloc else parts.query)
    if "@" in outside:
        raise _WrongUrl("/ ? # in a user's name or password are written %2F %3F %23")
    username, password = _user(parts)
    db = _db(query.pop("db", "") or parts.path.strip("/") or "0")
    tls = None
    if parts.scheme == "rediss":
        tls = _tls({name: query.pop(name) for name in list(query) if name in _TLS_OPTIONS})
    _refuse(query)
    return Address(
        host=parts.hostname or "localhost",
        port=_port(parts),
        username=username,
        password=password,
        db=db,
        tls=tls,
    )


def _port(parts: "SplitResult") -> int:
    try:
        return DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        raise _WrongUrl("the port is not a number of at most 65535") from None


def _db(text: str) -> int:
    if not text.isdecimal():
        raise _WrongUrl(f"the database {text!r} is not a number")
    return int(text)


def _tls(given: dict[str, str]) -> Tls:
    return Tls(
        ca_file=given.get("ssl_ca_certs"),
        cert_file=given.get("ssl_certfile"),
        key_file=given.get("ssl_keyfile"),
        check_hostname=given.get("ssl_check_hostname", "true").lower() not in {"false", "no", "0"},
        verify=given.get("ssl_cert_reqs", "required").lower() != "none",
    )


def _refuse(query: dict[str, str]) -> None:
    if query:
        raise _WrongUrl(f"unknown options {', '.join(sorted(query))}")


def _unquote(text: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415  3 ms, at the first connect

    return unquote(text)
