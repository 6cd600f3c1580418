"""Scenarios: real workers, real faults."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from redis import Redis

from jobq import JobQ
from tests.conftest import Spawn
from tests.scenario.ground import Ground
from tests.support.server import Server


class MakeGround(Protocol):
    """Makes a ground on a server of the test's own, or behind a proxy."""

    def __call__(self, server: Server, url: str | None = None) -> Ground: ...


@pytest.fixture
def make_ground(tmp_path: Path, spawn: Spawn) -> Iterator[MakeGround]:
    """Make a ground: ``make_ground(server, url=proxy.url)``."""
    with ExitStack() as stack:

        def make(server: Server, url: str | None = None) -> Ground:
            folder = tmp_path / "app"
            folder.mkdir(exist_ok=True)
            redis = stack.enter_context(server.connect())
            app = stack.enter_context(JobQ(server.url))
            return Ground(folder, server, redis, spawn, app, url or server.url)

        yield make


@pytest.fixture
def ground(server: Server, redis: Redis, make_ground: MakeGround) -> Ground:
    """An app on `server`."""
    del redis
    return make_ground(server)
