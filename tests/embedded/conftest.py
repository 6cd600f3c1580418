"""Homes for the tests of the embedded server."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobq.embedded import find_server
from jobq.errors import ServerError
from tests.embedded.homes import Home


@pytest.fixture(scope="session")
def embedded_binary() -> Path:
    """The server that `ensure` starts; without one the test is skipped here, and fails in CI."""
    try:
        return find_server().path
    except ServerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def make_home(embedded_binary: Path) -> Iterator[Callable[..., Home]]:
    """Make homes: ``make_home(name, linger=seconds)``."""
    homes: list[Home] = []
    # The path of pytest's own directory may be too long for a socket.
    base = Path(tempfile.mkdtemp(prefix="jq")).resolve()

    def make(name: str = "home", linger: float = 0.1) -> Home:
        homes.append(Home(base / name, linger))
        return homes[-1]

    yield make
    for made in homes:
        made.end()
    shutil.rmtree(base)


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    """One home with a short linger."""
    return make_home()
