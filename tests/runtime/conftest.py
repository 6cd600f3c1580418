"""Parts of a worker, each by itself."""

from collections.abc import Iterator

import pytest

from jobq.store.address import parse_url
from jobq.store.sync import Store
from tests.support.server import Server


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    """Runs ops on `server`."""
    store = Store(lambda: parse_url(server.url))
    yield store
    store.close()
