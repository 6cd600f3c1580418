"""The carriers of ops on `server`, and the queue ``mail``."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobq.store.address import parse_url
from jobq.store.aio import AsyncStore
from jobq.store.connect import Locate
from jobq.store.connection import Connection
from jobq.store.multiplex import AsyncConnection
from jobq.store.sync import Store
from jobq.store.wire import Op
from tests.store.line import Line, Run, T
from tests.support.server import Server

#: What carries an op: blocking or not, alone or in a pool, RESP2 or RESP3 (the store for loops).
CARRIERS = ("connection", "resp3", "store", "async-connection", "async-store")


@contextmanager
def carrier(
    kind: str, url: str, patience: float = 10.0, locate: Locate | None = None
) -> Iterator[Run]:
    """Connect in one of the ways."""
    locate = locate or (lambda: parse_url(url))
    if kind == "store":
        store = Store(locate, patience=patience)
        yield store.run
        store.close()
    elif kind in {"connection", "resp3"}:
        connection = Connection(locate, resp3=kind == "resp3")
        yield lambda op: connection.run(op, patience=patience)
        connection.close()
    else:
        with asyncio.Runner() as runner:
            yield from _async_carrier(runner, kind, locate, patience)


def _async_carrier(
    runner: asyncio.Runner, kind: str, locate: Locate, patience: float
) -> Iterator[Run]:
    async def connect() -> AsyncConnection | AsyncStore:
        if kind == "async-store":
            return AsyncStore(locate, patience=patience)
        return AsyncConnection(locate, patience=patience)

    far = runner.run(connect())

    def run(op: Op[T], /) -> T:
        return runner.run(far.run(op))

    yield run
    runner.run(far.close())


@pytest.fixture(params=CARRIERS)
def run(request: pytest.FixtureRequest, server: Server) -> Iterator[Run]:
    """Carries ops to `server`, in each of the ways."""
    with carrier(request.param, server.url) as run:
        yield run


@pytest.fixture
def line(run: Run) -> Line:
    """The queue ``mail`` with its groups, in each of the ways."""
    return Line(run).open()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    """A store for blocking code on `server`."""
    store = Store(lambda: parse_url(server.url), patience=10.0)
    yield store
    store.close()


@pytest.fixture
def mail(store: Store) -> Line:
    """The queue ``mail`` with its groups, through one store."""
    return Line(store.run).open()
