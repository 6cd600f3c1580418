"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

#: The wheel brings the entry point; the tree does not.
PLUGIN = [] if entry_points(group="pytest11", name="jobq") else ["-p", "jobq.pytest_plugin"]

CONFTEST = """
import pytest
from shop import app

@pytest.fixture
def jobq_app():
    return app
"""

SHOP = """
from jobq import JobQ

app = JobQ("redis://127.0.0.1:1/0")  # where nobody is

@app.job(retries=1, backoff="1h")
def ship(order: int) -> int:
    if order < 0:
        raise ValueError(order)
    return order
"""

TESTS = """
import pytest
from jobq import JobQ, JobState
from jobq.testing import Session
from shop import app, ship

def test_it_is_empty_at_first(jobq):
    assert isinstance(jobq, Session) and jobq.app is app
    ship.delay(1)
    jobq.assert_enqueued(ship, 1, count=1)

def test_it_is_empty_again(jobq):
    assert jobq.enqueued() == []
    handle = ship.delay(-1)
    assert [ran.outcome for ran in jobq.run_all()] == [JobState.RETRYING]
    jobq.travel("2h", run=True)
    assert handle.status() is JobState.DEAD

@pytest.mark.jobq(inline=True)
def test_inline(jobq):
    assert ship.delay(2).result(timeout=0) == 2

@pytest.mark.jobq(inline=True)
def test_the_marker_is_enough():
    assert ship.delay(4).result(timeout=0) == 4

def test_failing(jobq):
    ship.delay(3)
    jobq.assert_not_enqueued(ship)
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("parallel", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_the_fixture_is_a_session_on_a_server_of_its_own(
    pytester: pytest.Pytester, parallel: list[str]
) -> None:
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")  # else it warns
    result = pytester.runpytest_subprocess(
        *PLUGIN, *parallel, "-p", "no:valkey", "--strict-markers", "-W", "error"
    )
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: there is shop.ship(...). What is enqueued:*"])
    result.stdout.fnmatch_lines(["*shop.ship(3)  in default*"])


@pytest.mark.slow
def test_without_a_server_it_tells_the_fixes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBQ_SERVER_BIN", "/bin/false")
    pytester.makepyfile("def test_it(jobq): pass")
    result = pytester.runpytest_subprocess(*PLUGIN, "-p", "no:valkey")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*in one of three ways*", "*is never used*"])


def test_pytest_starts_with_no_more_than_jobq() -> None:
    """What the fixtures need is imported when one is used."""
    heavy = _imported_by("import jobq.pytest_plugin") - _imported_by("import jobq, pytest")
    assert heavy == {"jobq.pytest_plugin"}


def _imported_by(code: str) -> set[str]:
    words = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return set(said.split())
