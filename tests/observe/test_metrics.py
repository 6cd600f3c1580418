"""The text for Prometheus: read by its own parsers, and by promtool where that is installed."""

import math
import shutil
import subprocess
from collections import Counter
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_text

from jobq.core.rates import Rates, backlog
from jobq.core.snapshot import (
    Depth,
    QueueState,
    RedisState,
    Snapshot,
    WorkerSeen,
)
from jobq.core.tally import BOUNDS, COUNTERS, Histogram, Tally
from jobq.observe.metrics import BUCKETS, text

#: Each bucket holds one duration, the one above all bounds too.
SPREAD = Histogram((1,) * (len(BOUNDS) + 1), 12.5)

#: Each counter another number.
COUNTS = {name: number for number, name in enumerate(COUNTERS, 10)}
FIELDS: dict[str, Any] = {**COUNTS, "waits": SPREAD, "runs": SPREAD}
TALLY = Tally(**FIELDS)


def full(queue: str = "mail", job: str = "mail.send") -> Snapshot:
    """Return a snapshot in which everything is known."""
    return Snapshot(
        queues=(
            QueueState(queue, Depth(1, 2, 3, 4, 5, 6, 7), 1.5, Rates(1.0, 2.0, 0.5), put_back=8),
            QueueState("held", Depth(ready=1), rates=Rates(backlog=None), paused=True),
            QueueState("stuck", Depth(ready=1), rates=Rates(backlog=math.inf)),
        ),
        totals={(queue, job): TALLY, (queue, "*"): Tally()},
        workers=(
            WorkerSeen(frozenset((queue,)), "running", 3, 8, 2),
            WorkerSeen(frozenset((queue,)), "draining", 1, 8, 1),
            WorkerSeen(frozenset((queue,)), "silent", 5, 8, 4),
        ),
        redis=RedisState(
            0.001, "valkey 9.1.0", 1000, 5000, 1.25, 3, 12, persisted=True, replicas=1
        ),
        unreadable=1,
        seconds=0.01,
    )


def samples(snapshot: Snapshot) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the values of the metrics, by name and the values of their labels."""
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in families(snapshot):
        for one in family.samples:
            labels = tuple(one.labels[name] for name in sorted(one.labels, reverse=True))
            key = one.name.removeprefix("jobq_"), labels
            assert key not in found, "two samples with the same labels"
            found[key] = one.value
    return found


def families(snapshot: Snapshot) -> list[Metric]:
    return list(read_text(text(snapshot)[0].decode()))


def test_all_that_is_known_is_told() -> None:
    seen = samples(full())
    for state, jobs in (("ready", 1), ("delayed", 2), ("running", 3), ("retrying", 4), ("dead", 5)):
        assert seen["queue_jobs", (state, "mail")] == jobs
    assert seen["queue_held_jobs", ("mail",)] == 6
    assert seen["queue_unknown_jobs", ("mail",)] == 7
    assert seen["queue_put_back_total", ("mail",)] == 8
    assert seen["queue_oldest_ready_seconds", ("mail",)] == 1.5
    assert seen["queue_backlog_seconds", ("mail",)] == 0.5
    assert seen["queue_backlog_seconds", ("stuck",)] == math.inf
    assert ("queue_backlog_seconds", ("held",)) not in seen
    assert seen["queue_paused", ("held",)] == 1
    assert seen["queue_workers", ("mail",)] == 1, "those that take jobs"
    for name, count in COUNTS.items():
        assert seen[f"jobs_{name}_total", ("mail", "mail.send")] == count
    assert [seen["workers", (state,)] for state in ("running", "draining", "silent")] == [1, 1, 1]
    assert seen["workers_busy", ()] == 2
    assert seen["worker_processes", ()] == 3
    assert seen["worker_running_jobs", ()] == 4
    assert seen["worker_capacity_jobs", ()] == 8
    assert seen["redis_up", ()] == seen["redis_info", ("valkey 9.1.0",)] == 1
    assert seen["redis_memory_bytes", ()] == 1000
    assert seen["redis_evicted_keys_total", ()] == 3
    assert seen["unreadable_queues", ()] == 1


def test_buckets_are_those_that_are_kept_only_fewer() -> None:
    assert set(BUCKETS) < set(BOUNDS)
    seen = samples(full())
    for bound in BUCKETS:
        below = seen["job_run_seconds_bucket", ("mail", str(bound), "mail.send")]
        assert below == BOUNDS.index(bound) + 1
    everything = len(BOUNDS) + 1
    assert seen["job_run_seconds_bucket", ("mail", "+Inf", "mail.send")] == everything
    assert seen["job_wait_seconds_count", ("mail", "mail.send")] == everything
    assert seen["job_wait_seconds_sum", ("mail", "mail.send")] == 12.5


def test_of_a_redis_that_is_away_only_that_is_known() -> None:
    assert samples(Snapshot()) == {("redis_up", ()): 0.0}
    assert ("redis_memory_bytes", ()) not in samples(Snapshot(redis=RedisState(0.1)))


def test_names_of_strangers_break_nothing() -> None:
    long = "x" * 300
    names = ['a"b\\c\nd', "\x1b[31m\u202e", "\ud800", long + "1", long + "2"]
    queues = tuple(QueueState(name, Depth(ready=1)) for name in names)
    totals = {(name, name): TALLY for name in names}
    snapshot = Snapshot(queues=queues, totals=totals, redis=RedisState(0.1))
    said = text(snapshot)[0].decode()
    assert said.isascii()
    assert not any(len(line) > 700 for line in said.splitlines())
    seen = samples(snapshot)
    cut = "x" * 200
    assert seen["jobs_dead_total", (cut, cut)] == 2 * TALLY.dead, "two that are alike are one"


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    body, kind = text(full(), "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    seen = read_open(body.decode())  # type: ignore[no-untyped-call]
    assert {one.name for one in seen} == {one.name for one in families(full())}


def test_the_conventions_of_promtool() -> None:
    """Those of `promtool check metrics`, where it is not installed."""
    every = families(full())
    assert max(Counter(one.name for one in every).values()) == 1
    for one in every:
        assert one.name.startswith("jobq_")
        assert one.documentation
        assert not one.name.endswith(("_count", "_sum", "_bucket", "_info_total", "_counter"))
        for sample in one.samples:
            assert sample.name.endswith("_total") == (one.type == "counter"), sample.name


def test_promtool_finds_nothing() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; its conventions are tested above")
    said = text(full())[0]
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=said, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, b"")


def test_the_backlog_of_a_queue() -> None:
    assert backlog(100, 20.0) == 5.0
    assert backlog(0, 0.0) == 0.0
    assert backlog(1, 0.0) == math.inf
    assert backlog(100, 20.0, paused=True) is None
