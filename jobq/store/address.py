"""Where Redis is: a URL, taken apart and checked."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from jobq.errors import ConfigError

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
        user = "" if self.password is None else f"{self.username or ''}:***@"
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
    try:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme == "unix":
            return _unix(parts, query)
        if parts.scheme in {"redis", "rediss"}:
            return _tcp(parts, query)
    except ValueError as error:
        raise ConfigError(f"the Redis URL cannot be read: {error}. Forms: {FORMS}") from None
    scheme = parts.scheme or "none"
    raise ConfigError(f"a Redis URL cannot have the scheme {scheme!r}. Forms: {FORMS}")


def _user(parts: SplitResult) -> tuple[str | None, str | None]:
    return (
        unquote(parts.username) if parts.username else None,
        None if parts.password is None else unquote(parts.password),
    )


def _unix(parts: SplitResult, query: dict[str, str]) -> Address:
    username, password = _user(parts)
    path = unquote(parts.path)
    if not path:
        raise ValueError("unix:// needs the path of a socket")
    db = _db(query.pop("db", "0"))
    _refuse(query)
    return Address(path=path, username=username, password=password, db=db)


def _tcp(parts: SplitResult, query: dict[str, str]) -> Address:
    username, password = _user(parts)
    db = _db(query.pop("db", "") or parts.path.strip("/") or "0")
    tls = None
    if parts.scheme == "rediss":
        tls = _tls({name: query.pop(name) for name in list(query) if name in _TLS_OPTIONS})
    _refuse(query)
    return Address(
        host=parts.hostname or "localhost",
        port=parts.port or DEFAULT_PORT,
        username=username,
        password=password,
        db=db,
        tls=tls,
    )


def _db(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"the database {text!r} is not a number")
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
        raise ValueError(f"unknown options {', '.join(sorted(query))}")
