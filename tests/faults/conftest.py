"""Faults that are caused for real, and the table of what they did to the jobs.

A test names the promises of docs/guarantees.md that it proves, and fills in what it counted:

    @pytest.mark.fault("G4", "G5")
    def test_something_breaks(field: Field, fault: Fault) -> None:
        ...
        fault.lost, fault.duplicated, fault.recovery = 0, 2, 1.3
"""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from redis import Redis

from jobq import JobQ
from tests.conftest import Spawn, StartServer
from tests.faults.field import Account, Field
from tests.support.clock import Clock
from tests.support.server import Server

#: The promises of docs/guarantees.md.
PROMISES = tuple(f"G{number}" for number in range(1, 15))

#: The name of the property of a report that carries a row of the table.
PROPERTY = "fault"


@dataclasses.dataclass
class Fault:
    """What a fault did to the jobs; shown in the table, None where it says nothing.

    Attributes:
        promises: those that the test proves.
        lost: jobs that neither ended, nor wait, nor are dead letters, though Redis had kept them.
        duplicated: starts beyond those that were asked for.
        recovery: seconds from the end of the fault, or from its start where it stays, until the
            jobs went on.
        notes: anything else that was measured, in a few words.
    """

    promises: tuple[str, ...]
    lost: int | None = None
    duplicated: int | None = None
    recovery: float | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def enter(self, account: Account) -> None:
        """Take what was counted from an account."""
        self.lost, self.duplicated = len(account.lost), account.duplicated

    def note(self, text: str) -> None:
        """Add something that was measured."""
        self.notes.append(text)


FAULT = pytest.StashKey[Fault]()


class MakeField(Protocol):
    """Makes a field on a server of the test's own, or behind a proxy."""

    def __call__(self, server: Server, url: str | None = None) -> Field: ...


@pytest.fixture
def make_field(tmp_path: Path, spawn: Spawn) -> Iterator[MakeField]:
    """Make a field, with jobs that can be counted: ``make_field(server, url=proxy.url)``."""
    with ExitStack() as stack:

        def make(server: Server, url: str | None = None) -> Field:
            folder = tmp_path / "app"
            folder.mkdir(exist_ok=True)
            redis = stack.enter_context(server.connect())
            app = stack.enter_context(JobQ(server.url))
            made = Field(folder, server, redis, spawn, app, url or server.url)
            made.write()
            return made

        yield make


@pytest.fixture
def field(server: Server, redis: Redis, make_field: MakeField) -> Field:
    """An app on `server`, with jobs that can be counted."""
    del redis
    return make_field(server)


@pytest.fixture
def clock(start_server: StartServer, make_field: MakeField) -> tuple[Clock, Field]:
    """A clock that can be moved, and a field on its server."""
    server = start_server()
    try:
        moved = Clock(server)
    except LookupError as missing:
        pytest.skip(str(missing))
    return moved, make_field(server)


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    """What the fault did, for the table."""
    row: Fault = request.node.stash[FAULT]
    return row


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Give each test with the marker its row."""
    for item in items:
        promises = [str(word) for mark in item.iter_markers("fault") for word in mark.args]
        if promises:
            item.stash[FAULT] = Fault(tuple(promises))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send the row along with the report: it may come from another process."""
    report = yield
    field = getattr(item, "funcargs", {}).get("field")
    if report.failed and isinstance(field, Field):
        for child in field.programs:
            told = "\n".join(child.lines[-30:])
            report.sections.append((f"what was said by {' '.join(child.command[1:])}", told))
    row = item.stash.get(FAULT, None)
    if row is not None:
        report.user_properties.append((PROPERTY, dataclasses.asdict(row)))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table: promise, test, what was lost and repeated, how long it took."""
    rows = list(_rows(terminalreporter.stats))
    if not rows:
        return
    terminalreporter.section("faults: promise → test → lost / duplicated / recovery")
    rows.sort(key=lambda row: (int(row[0][1:]), row[1]))
    lines = [("", "test", "lost", "duplicated", "recovery", "outcome", ""), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        cells = [
            cell.rjust(width) if column in {2, 3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line[:6], widths, strict=True))
        ]
        terminalreporter.write_line("  ".join([*cells, line[6]]).rstrip())
    proven = {row[0] for row in rows if row[5] == "passed"}
    missing = [promise for promise in PROMISES if promise not in proven]
    told = f"without a test that passed in this run: {', '.join(missing)}"
    terminalreporter.write_line(told if missing else "every promise has a test that passed")


def _rows(stats: dict[str, list[Any]]) -> Iterator[tuple[str, ...]]:
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in stats.get(outcome, ()):
            for name, row in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    test = report.nodeid.rpartition("faults/")[2]
                    recovery = "" if row["recovery"] is None else f"{row['recovery']:.2f} s"
                    counts = ["" if row[key] is None else str(row[key]) for key in COUNTS]
                    notes = "; ".join(row["notes"])
                    for promise in row["promises"]:
                        yield (promise, test, *counts, recovery, outcome, notes)


COUNTS = ("lost", "duplicated")
