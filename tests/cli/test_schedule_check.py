"""`jobq schedule check`: good expressions, bad ones, and what may surprise."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobq.core.clock import Clock
from tests.cli.conftest import Run

#: A Saturday, the day before clocks go forward in New York.
NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)


class Stopped:
    def time(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Stopped()
    monkeypatch.setattr("jobq.cli.schedule_check._CLOCK", clock)
    return clock


def test_the_next_ticks_are_shown_in_both_times(run: Run) -> None:
    ran = run("schedule", "check", "30 2 * * *", "--tz", "America/New_York", "--next", "2")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "30 2 * * * (America/New_York)"
    assert lines[1].split() == ["NEXT", "UTC", "IN"]
    assert lines[2].split("  ")[0] == "Sun 2026-03-08 03:00 -0400"
    assert "2026-03-08 07:00:00 UTC" in lines[2]
    assert lines[2].endswith("19 h")
    assert lines[3].startswith("Mon 2026-03-09 02:30 -0400")
    assert lines[4].startswith("note: 2026-03-08 02:30 does not come in America/New_York")
    assert len(lines) == 5


def test_json(run: Run) -> None:
    found: Any = run(
        "schedule", "check", " 0  9 * * mon-fri", "--tz", "Europe/Madrid", "--json"
    ).json
    assert found["cron"] == "0 9 * * mon-fri"
    assert found["tz"] == "Europe/Madrid"
    assert found["notes"] == []
    assert len(found["next"]) == 5
    assert found["next"][0] == {
        "at": "2026-03-09T08:00:00.000Z",
        "local": "2026-03-09T09:00+01:00",
    }


def test_the_name_decides_about_a_hash(run: Run) -> None:
    def first(name: str) -> Any:
        found: Any = run("schedule", "check", "H H * * *", "--name", name, "--json").json
        return found["next"][0]["at"]

    assert first("a") == first("a")
    assert len({first(name) for name in "abcd"}) > 1
    assert "note: the name of the schedule decides" in run("schedule", "check", "0 H * * thu").out
    assert "decides" not in run("schedule", "check", "0 9 * * thu").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0 0 30 2 *",), "never comes"),
        (("0 0 * * * *",), 'every="30s"'),
        (("* * * * *", "--tz", "Europe/Madird"), "did you mean 'Europe/Madrid'"),
        (("\x1b[2J * * * *",), "cannot be read"),
    ],
)
def test_what_is_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    ran = run("schedule", "check", *words)
    assert ran.code == 1
    assert not ran.out
    assert said in ran.err
    assert "\x1b" not in ran.err


def test_at_most_a_hundred_ticks(run: Run) -> None:
    assert run("schedule", "check", "* * * * *", "--next", "101").code == 2
    found: Any = run("schedule", "check", "* * * * *", "--next", "100", "--json").json
    last = datetime.fromisoformat(found["next"][-1]["at"])
    assert last == NOW + timedelta(minutes=100)
