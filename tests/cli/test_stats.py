"""`jobq stats`: what was counted, by job function, minute and hour."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from jobq import JobQ
from jobq.store.ops.enqueue import enqueue
from tests.cli.conftest import Run


@pytest.fixture
def app(redis_url: str) -> Iterator[JobQ]:
    with JobQ(redis_url) as app:
        yield app


def read(run: Run, *words: str) -> list[dict[str, Any]]:
    found = run("stats", *words, "--json").json
    assert isinstance(found, list)
    return found


def test_nothing_was_counted(run: Run, app: JobQ, redis: Redis) -> None:
    said = run("stats")
    assert (said.code, said.out) == (3, "")
    assert "no jobs were counted in the last 1 h" in said.err


def test_rows_by_job_function_minute_and_hour(run: Run, app: JobQ, redis: Redis) -> None:
    for name in ("shop.a", "shop.a", "shop.b"):
        app.send(name)
    strange = app.codec.encode_call("shop.\x1b[31mred", (), {})
    app.store.run(enqueue("default", "strange", strange))
    app.options(queue="mail").send("shop.a")
    said = run("stats")
    assert said.code == 0
    head, *rows = said.out.splitlines()
    names = ["QUEUE", "JOB", "ENQUEUED", "SUCCEEDED", "FAILED", "WAIT", "P50", "WAIT", "P95"]
    assert head.split()[:9] == names
    assert [row.split()[:3] for row in rows] == [
        ["default", "shop.red", "1"],
        ["default", "shop.a", "2"],
        ["default", "shop.b", "1"],
        ["mail", "shop.a", "1"],
    ]
    assert "\x1b" not in said.out
    for by in ("minute", "hour"):
        found = read(run, "--by", by)
        assert sum(one["enqueued"] for one in found) == 5
        assert all(one["at"].endswith("Z") for one in found)
        assert (found[0]["queue"], found[0]["job"]) == (None, None)
    (one,) = read(run, "--queue", "default", "--job", "shop.a")
    assert (one["queue"], one["job"], one["enqueued"], one["at"]) == ("default", "shop.a", 2, None)
    assert one["run"] == {"count": 0, "mean": None, "p50": None, "p95": None, "p99": None}
    assert run("stats", "--job", "shop.none").code == 3
    assert run("stats", "--by", "minute", "--last", "2d").code == 2
    assert run("stats", "--last", "31d").code == 2


def test_on_a_narrow_terminal_times_stand_below(
    run: Run, app: JobQ, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.send("shop.mail_of_the_day")
    monkeypatch.setenv("COLUMNS", "60")
    lines = run("stats").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].split() == ["QUEUE", "JOB", "ENQUEUED", "SUCCEEDED", "FAILED"]
    assert lines[2] == ""
    assert lines[3].split()[:4] == ["QUEUE", "JOB", "WAIT", "P50"]
