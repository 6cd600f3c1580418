"""The pytest plugin of jobq: the fixture ``jobq``, a Redis of its own for each test.

It stands outside of `jobq.testing`, which is imported when a fixture is first used: whoever starts
pytest pays for no more than `import jobq`.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

    from jobq import JobQ
    from jobq.testing import Session


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "jobq(inline=False): how the fixture `jobq` works here; with inline=True jobs run as soon "
        "as they are enqueued",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a test with the marker the fixture too: its jobs would go to a real Redis else."""
    if item.get_closest_marker("jobq") is None or not isinstance(item, pytest.Function):
        return
    if "jobq" not in item.fixturenames:
        item.fixturenames.insert(0, "jobq")


@pytest.fixture(scope="session")
def jobq_app() -> "JobQ | None":
    """The app that the fixture `jobq` binds; override it to name yours."""
    return None


@pytest.fixture(scope="session")
def _jobq_testing() -> "Iterator[ModuleType]":
    """Lend `jobq.testing`, and stop the server of this process at the end."""
    testing = import_module("jobq.testing")
    yield testing
    testing.private_server.stop()


@pytest.fixture
def jobq(
    request: pytest.FixtureRequest, jobq_app: "JobQ | None", _jobq_testing: "ModuleType"
) -> "Iterator[Session]":
    """A Redis of its own, empty, and apps bound to it. See `jobq.testing.Session`."""
    marker = request.node.get_closest_marker("jobq")
    options = {} if marker is None else marker.kwargs
    try:
        url = _jobq_testing.private_server.url()
    except import_module("jobq.errors").ServerError as error:
        pytest.fail(
            f"the fixture jobq needs a server of its own: {error}\n"
            "(A server in JOBQ_REDIS_URL is never used: the fixture empties what it uses.)",
            pytrace=False,
        )
    assert url
    with _jobq_testing.session(jobq_app, **options) as session:
        yield session
