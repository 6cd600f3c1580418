"""A session on the server of the suite."""

from collections.abc import Iterator

import pytest

from jobq import JobQ
from jobq.testing.session import Session
from tests.support.server import Server


@pytest.fixture
def app() -> JobQ:
    """An app without a URL of its own."""
    return JobQ()


@pytest.fixture
def test(server: Server, app: JobQ) -> Iterator[Session]:
    """A session of `app`, as the fixture `jobq` gives it to others."""
    session = Session(server.url)
    try:
        session.open()
        session.use(app)
        yield session
    finally:
        session.close()
        server.cli("DEL", "jobq:clock")
