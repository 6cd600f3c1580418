"""`jobq schedule`: what it shows and does."""

from typing import Any

import pytest

from jobq import JobQ
from tests.cli.conftest import Run


@pytest.fixture
def app(redis_url: str) -> Any:
    with JobQ(redis_url) as app:
        yield app


def work(n: int = 0) -> int:
    """Do nothing."""
    return n


def test_a_schedule_from_its_first_day_to_its_last(app: JobQ, run: Run) -> None:
    assert "No schedules" in run("schedule", "list").out
    added = run(
        "schedule", "add", "report", "shop.work", "--cron", "0 9 * * mon-fri",
        "--tz", "Europe/Madrid", "--args", "[3]", "--overlap", "skip",
    )  # fmt: skip
    assert (added.code, added.out) == (0, "Added report: 0 9 * * mon-fri (Europe/Madrid).\n")

    listed = run("schedule", "list", "--next", "3")
    assert listed.out.count(" 09:00:00 CE") == 3, "in the zone of the schedule"
    assert "no worker reads its queue 'default'" in listed.err
    rows: Any = run("schedule", "list", "--json").json
    (row,) = rows
    assert row["is_ticked"] is False
    assert (row["cron"], row["tz"], row["owner"]) == ("0 9 * * mon-fri", "Europe/Madrid", None)
    assert len(row["next"]) == 1

    assert run("schedule", "pause", "report").out == "Paused report.\n"
    assert run("schedule", "pause", "report").out == "Already paused: report.\n"
    assert "paused" in run("schedule", "list").out
    assert run("schedule", "run", "report", "--json").json == {
        "id": app.schedules.get("report").past[0].job_id,
        "queue": "default",
    }
    assert run("schedule", "resume", "report").out == "Resumed report.\n"

    shown = run("schedule", "show", "report", "--next", "2").out
    for word in ("report", "shop.work", "skip", "added by a program", "by hand", "live"):
        assert word in shown
    page: Any = run("schedule", "show", "report", "--json").json
    (past,) = page["past"]
    assert past["manual"] is True

    assert run("schedule", "remove", "report").code == 2, "nobody is there to ask"
    assert run("schedule", "remove", "report", "--yes").out == "Removed report.\n"
    for action in ("show", "pause", "resume", "run"):
        missing = run("schedule", action, "report")
        assert missing.code == 3
        assert "fix: jobq schedule list" in missing.err


def test_what_cannot_be_is_told(app: JobQ, run: Run) -> None:
    del app
    for words in (("--cron", "0 0 30 2 *"), ("--every", "often"), ()):
        ran = run("schedule", "add", "report", "shop.work", *words)
        assert ran.code == 1
        assert ran.err.startswith("jobq: schedules.add():")
    for words in (("--misfire", "never"), ("--overlap", "forbid"), ("--misfire-max", "0")):
        assert run("schedule", "add", "report", "shop.work", "--every", "1h", *words).code == 2
    assert run("schedule", "show", "two words").code == 1
    run("schedule", "add", "shop.report", "shop.work", "--every", "1h")
    for slip in ("report", "shop.reprot"):
        assert "did you mean 'shop.report'?" in run("schedule", "pause", slip).err
