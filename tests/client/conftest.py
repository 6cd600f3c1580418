"""An app on the server of the tests, and a worker by hand."""

from collections.abc import Iterator

import pytest

from jobq import JobQ
from tests.client.hand import Hand
from tests.support.proxy import Proxy
from tests.support.server import Server


@pytest.fixture
def app(server: Server) -> Iterator[JobQ]:
    """An app on `server`."""
    with JobQ(server.url) as app:
        yield app


@pytest.fixture
def far(proxy: Proxy) -> Iterator[JobQ]:
    """An app that reaches `server` through `proxy`."""
    with JobQ(proxy.url) as app:
        yield app


@pytest.fixture
def hand(server: Server) -> Iterator[Hand]:
    """A worker by hand on `server`."""
    hand = Hand(server.url)
    yield hand
    hand.close()
