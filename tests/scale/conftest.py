"""One large Redis for all tests of this folder: filling it takes most of a minute."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale.large import Large
from tests.support.server import Server

WAITING = 1_000_000
DEAD = 100_000


@pytest.fixture(scope="session")
def large(server_binary: Path) -> Iterator[Large]:
    """A Redis with 1,000,000 waiting jobs and 100,000 dead letters; only to be looked at."""
    with Server(binary=server_binary) as server:
        one = Large(server)
        one.fill(WAITING, DEAD)
        yield one
        one.close()
