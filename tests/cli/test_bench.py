"""`jobq bench`: a quick run that several tests look at, and what is left when one is cut short."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from jobq.cli.bench_lab import Process
from jobq.cli.bench_numbers import MEASURES, Pair, numbers
from jobq.cli.bench_report import Setting, closing, show, to_json
from jobq.store.bare.server import ServerFacts
from tests.cli.conftest import Run
from tests.support.process import Child, jobq_command
from tests.support.server import Server
from tests.support.wait import wait_until

Spawn = Callable[..., Child]

NAMES = [
    "delay", "adelay", "map", "drain", "drain_results", "async_sleep", "pickup", "redis_cpu",
    "bytes_per_job",
]  # fmt: skip


@dataclass(frozen=True)
class Benched:
    """What a quick run said, and the keys that it left."""

    said: dict[str, object]
    rows: dict[str, dict[str, object]]
    left: list[bytes]


@pytest.fixture(scope="module")
def benched(shared_server: Server) -> Benched:
    """Run `jobq bench --quick --json` once for all."""
    shared_server.start()
    shared_server.cli("FLUSHALL")
    ran = subprocess.run(
        [*jobq_command(), "bench", "--quick", "--json"],
        env={**os.environ, "JOBQ_REDIS_URL": shared_server.url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    rows = {row["name"]: row for row in said["results"]}
    return Benched(said, rows, shared_server.cli("KEYS", "*"))


def number(row: dict[str, object], name: str) -> float:
    found = row[name]
    assert isinstance(found, int | float)
    return found


# ---------------------------------------------------------------------------- the quick run


@pytest.mark.slow
def test_every_measure_is_there_with_its_bare_loop(benched: Benched) -> None:
    assert list(benched.rows) == NAMES == list(MEASURES)
    for row in benched.rows.values():
        assert list(row) == ["name", "value", "unit", "bare", "ratio", "budget", "met"]
        assert min(number(row, "value"), number(row, "bare"), number(row, "ratio")) > 0


@pytest.mark.slow
def test_the_values_are_possible(benched: Benched) -> None:
    rows = benched.rows
    for name in ("delay", "adelay", "map", "drain", "drain_results"):
        assert 100 < number(rows[name], "value") < 10_000_000
        assert rows[name]["unit"] == "jobs/s"
    assert 100 < number(rows["async_sleep"], "value") <= 10_100
    assert number(rows["async_sleep"], "bare") == 10_000
    assert 0.01 < number(rows["pickup"], "value") < 500
    assert 0.5 < number(rows["redis_cpu"], "value") < 500
    assert 30 < number(rows["bytes_per_job"], "value") < 1000
    assert number(rows["bytes_per_job"], "bare") < number(rows["bytes_per_job"], "value")


@pytest.mark.slow
def test_the_facts_are_there(benched: Benched) -> None:
    said = benched.said
    assert str(said["server"]).startswith(("Redis ", "Valkey "))
    assert str(said["url"]).startswith("unix://")
    assert {"python", "jobq", "cores", "rounds"} < set(said)


@pytest.mark.slow
def test_a_quick_run_is_quick(benched: Benched) -> None:
    seconds = benched.said["seconds"]
    assert isinstance(seconds, float)
    assert seconds < 15 * 2  # twice what is promised: other tests run beside it


@pytest.mark.slow
def test_nothing_is_left(benched: Benched) -> None:
    assert benched.left == []


# ---------------------------------------------------------------------------- cut short


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_when_it_is_cut_short_nothing_is_left(
    server: Server, redis_url: str, spawn: Spawn, number: signal.Signals
) -> None:
    bench = spawn("jobq", "bench", "--url", redis_url)
    wait_until(lambda: server.cli("SCARD", "jobq:queues") >= 3, "all queues are in use")
    bench.signal(number)
    assert bench.wait() == 128 + number
    assert bench.lines[0].startswith("jobq ")
    assert "Traceback" not in bench.text
    assert server.cli("KEYS", "*") == []
    wait_until(lambda: clients(server) == 1, "its workers have ended")


@pytest.mark.slow
def test_workers_end_with_a_bench_that_is_killed(
    server: Server, redis_url: str, spawn: Spawn
) -> None:
    # It leaves its folder, which goes with that of the server.
    bench = spawn("jobq", "bench", "--url", redis_url, env={"TMPDIR": str(server.folder)})
    wait_until(lambda: server.cli("HLEN", "jobq:workers") == 2, "both workers are there")
    bench.kill()
    wait_until(lambda: clients(server) == 1, "its workers have ended")


def clients(server: Server) -> int:
    listed: bytes = server.cli("CLIENT", "LIST")
    return len(listed.splitlines())


def test_a_worker_that_ends_is_told_of(tmp_path: Path) -> None:
    process = Process("worker", ["-c", "raise SystemExit('no such luck')"], "redis://", tmp_path)

    def told() -> str | None:
        try:
            process.check()
        except click.ClickException as error:
            return error.message
        return None

    assert wait_until(told, "it has ended") == "the worker ended with 1\nno such luck"
    process.end()


def test_no_redis(run: Run, tmp_path: Path) -> None:
    ran = run("bench", "--quick", "--url", f"unix://{tmp_path}/none")
    assert ran.code == 4
    assert ran.out == ""


# ---------------------------------------------------------------------------- what it says

ROUND = {
    "delay": Pair(2000, 1000),
    "adelay": Pair(60_000, 10_000),
    "map": Pair(100_000, 200_000),
    "drain": Pair(100_000, 200_000),
    "drain_results": Pair(90_000, 100_000),
    "async_sleep": Pair(9500, 10_000),
    "pickup": Pair(0.3, 0.15),
    "redis_cpu": Pair(15, 4),
    "bytes_per_job": Pair(150, 50),
}
SERVER = ServerFacts("Valkey", "9.1.0", commands=0, used=10 << 20, limit=0, freeing=0)


def test_ratios_are_those_of_the_rounds() -> None:
    drains = [Pair(100, 200), Pair(10, 40), Pair(300, 400)]
    found = numbers([{**ROUND, "drain": one} for one in drains])[3]
    assert (found.value, found.bare, found.ratio) == (100, 200, 0.5)


def test_budgets_are_for_the_ratio_or_for_the_value() -> None:
    found = {one.measure.name: one for one in numbers([ROUND])}
    assert [name for name, one in found.items() if not one.met] == ["map", "pickup", "redis_cpu"]
    assert found["map"].short_by == pytest.approx(1 / 6)
    assert found["pickup"].short_by == pytest.approx(1 / 3)
    assert found["redis_cpu"].short_by == pytest.approx(0.25)
    rows = json.loads(to_json(list(found.values()), Setting(SERVER, "unix:///s"), 1, 2.0))[
        "results"
    ]
    assert rows[3]["budget"] == "ratio >= 0.5"
    assert rows[7]["budget"] == "value <= 12"
    assert [row["met"] for row in rows].count(False) == 3


def test_people_get_a_table_and_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    show(numbers([ROUND]), 1, 5.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["MEASURE", "JOBQ", "BARE", "UNIT", "RATIO", "BUDGET", "WHAT"]
    assert lines[1].split()[:8] == ["delay", "2,000", "1,000", "jobs/s", "2.00", ">=", "1.3", "ok"]
    assert lines[8].split()[:9] == [
        "redis_cpu", "15", "4", "us/job", "3.75", "<=", "12", "us/job", "short",
    ]  # fmt: skip
    assert lines[10] == (
        "Medians of 1 round in 5 s: 3 of 9 fall short of their budget: map by 17%, pickup by 33%, "
        "redis_cpu by 25%."
    )
    assert closing([], 3, 5) == "Medians of 3 rounds in 5 s: all budgets are met."


def test_remarks() -> None:
    assert Setting(SERVER, "").remarks() == []
    full = ServerFacts("Redis", "7", 0, used=90 << 20, limit=100 << 20, freeing=0)
    assert (
        Setting(full, "").remarks()[0].startswith("warning: Redis uses 90 MiB of 100 (maxmemory)")
    )
    assert "5,000 commands a second" in Setting(SERVER, "", traffic=5000.0).remarks()[0]
