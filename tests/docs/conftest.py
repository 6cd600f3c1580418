"""A reader for each document, with the test server as their Redis."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support.examples import Reader


@pytest.fixture
def reader(tmp_path: Path, redis_url: str) -> Iterator[Reader]:
    """One who follows a document in an empty folder."""
    env = {"JOBQ_REDIS_URL": redis_url}
    if not entry_points(group="pytest11", name="jobq"):  # the tree has none, unlike the wheel
        env["PYTEST_PLUGINS"] = "jobq.pytest_plugin"
    with Reader(tmp_path, env) as reader:
        yield reader
