"""A reader for each document, with the test server as their Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import Reader


@pytest.fixture
def reader(tmp_path: Path, redis_url: str) -> Iterator[Reader]:
    """One who follows a document in an empty folder."""
    with Reader(tmp_path, {"JOBQ_REDIS_URL": redis_url}) as reader:
        yield reader
