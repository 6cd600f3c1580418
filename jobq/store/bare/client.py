"""redis-py as people use it, on the server that jobq uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobq.errors import StoreUnavailable
from jobq.store.address import Address
from jobq.store.wire import error_of


def options(address: Address) -> dict[str, Any]:
    """Return the arguments that make a `redis.Redis` reach an address, and no others."""
    found: dict[str, Any] = {"db": address.db}
    if address.username is not None:
        found["username"] = address.username
    if address.password is not None:
        found["password"] = address.password
    if address.path:
        return {**found, "unix_socket_path": address.path}
    found |= {"host": address.host, "port": address.port}
    if address.tls is not None:
        found |= {
            "ssl": True,
            "ssl_ca_certs": address.tls.ca_file,
            "ssl_certfile": address.tls.cert_file,
            "ssl_keyfile": address.tls.key_file,
            "ssl_check_hostname": address.tls.check_hostname and address.tls.verify,
            "ssl_cert_reqs": "required" if address.tls.verify else "none",
        }
    return found


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise our exceptions in place of redis-py's.

    Raises:
        StoreError: Redis refused, or cannot be reached.
    """
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise StoreUnavailable(f"the bare loop lost Redis: {error}") from error
    except RedisError as error:
        raise error_of(error) from error
