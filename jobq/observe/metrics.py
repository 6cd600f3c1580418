"""What Prometheus is told: a snapshot as metrics, in its text format or that of OpenMetrics.

Needs the extra ``prometheus``. Names start with ``jobq_``, units are seconds and bytes, and what
only ever rises ends in ``_total``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from jobq.core.snapshot import WORKER_STATES, QueueState, RedisState, Snapshot
from jobq.core.tally import BOUNDS, COUNTERS, Histogram, Tally
from jobq.errors import ConfigError
from jobq.observe.logs import escape

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ConfigError("metrics need prometheus-client: pip install 'jobq[prometheus]'") from error

#: Upper bounds of the buckets that are shown, in seconds: each bucket is a series for each job
#: function, so these are some of those that are kept.
BUCKETS: Final[tuple[float, ...]] = (
    *(0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
    *(30.0, 60.0, 300.0, 1800.0, 3600.0, 86400.0),
)

#: Characters of a label: a stranger may have written names of any length.
_MOST: Final = 200

#: What `jobq.core.tally` counts, in words.
_COUNTED: Final = {
    "enqueued": "Jobs that were added.",
    "started": "Attempts that were started, counted when they ended.",
    "succeeded": "Attempts that succeeded.",
    "failed": "Attempts that raised, or ran out of time.",
    "retried": "Attempts that another one follows.",
    "dead": "Jobs that became dead letters.",
    "crashed": "Attempts whose process died.",
    "expired": "Jobs that waited too long and were not started.",
    "cancelled": "Jobs that were cancelled.",
    "snoozed": "Attempts that asked to be put off.",
}

#: The states of jobs that wait, run or are dead, as the label has them.
_STATES: Final = ("ready", "delayed", "running", "retrying", "dead")

_Samples = Iterable[tuple[Sequence[str], float]]


@dataclass(frozen=True, slots=True)
class SnapshotCollector(Collector):
    """Gives `prometheus_client` the metrics of jobq, read anew for each scrape.

    Attributes:
        read: reads them.
    """

    read: Callable[[], Snapshot]

    def collect(self) -> Iterator[Metric]:
        """Read once, and go through all metrics."""
        snapshot = self.read()
        yield from _redis(snapshot.redis)
        if snapshot.redis is None:
            return
        yield _gauge(
            "snapshot_seconds", "Seconds that reading all of this took.", (), _one(snapshot.seconds)
        )
        yield from _queues(snapshot.queues, snapshot)
        yield from _jobs(snapshot)
        yield from _workers(snapshot)


def text(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """Return a snapshot in the form that is asked for, and its content type.

    Args:
        accept: the header ``Accept`` of who asks; empty: the text format of Prometheus.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(lambda: snapshot))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _queues(queues: Sequence[QueueState], snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge(
        "queue_jobs",
        "Jobs of a queue by state; dead are its dead letters.",
        ("queue", "state"),
        [((one.name, state), getattr(one.depth, state)) for one in queues for state in _STATES],
    )
    yield _gauge(
        "queue_oldest_ready_seconds",
        "Seconds since the job was added that is ready for longest; 0: none is ready.",
        ("queue",),
        [((one.name,), one.oldest or 0.0) for one in queues],
    )
    yield _gauge(
        "queue_backlog_seconds",
        "Seconds until what is ready has been started, at the rate of the last minutes; +Inf: "
        "jobs are ready and none is processed; none of a paused queue.",
        ("queue",),
        [((one.name,), one.rates.backlog) for one in queues if one.rates.backlog is not None],
    )
    yield _gauge(
        "queue_held_jobs",
        "Ready jobs that are held because their job function is paused.",
        ("queue",),
        [((one.name,), one.depth.held) for one in queues],
    )
    yield _gauge(
        "queue_unknown_jobs",
        "Jobs that wait for a worker that knows their name.",
        ("queue",),
        [((one.name,), one.depth.unknown) for one in queues],
    )
    yield _gauge(
        "queue_paused",
        "1: the queue is paused.",
        ("queue",),
        [((one.name,), float(one.paused)) for one in queues],
    )
    yield _gauge(
        "queue_workers",
        "Workers that take jobs from a queue.",
        ("queue",),
        [((one.name,), _readers(one.name, snapshot)) for one in queues],
    )
    yield _counter(
        "queue_put_back",
        "Jobs that were put back because their worker does not know their name.",
        ("queue",),
        [((one.name,), one.put_back) for one in queues],
    )
    yield _gauge(
        "unreadable_queues",
        "Queues that cannot be read because somebody else has written to their keys.",
        (),
        _one(snapshot.unreadable),
    )


def _jobs(snapshot: Snapshot) -> Iterator[Metric]:
    tallies: dict[tuple[str, str], Tally] = {}
    for (queue, job), tally in snapshot.totals.items():
        labels = (_label(queue), _label(job))  # two long names can be alike when they are cut
        tallies[labels] = tallies[labels] + tally if labels in tallies else tally
    for name in COUNTERS:
        yield _counter(
            f"jobs_{name}",
            _COUNTED[name],
            ("queue", "job"),
            [(labels, getattr(tally, name)) for labels, tally in tallies.items()],
        )
    waits = {labels: tally.waits for labels, tally in tallies.items()}
    runs = {labels: tally.runs for labels, tally in tallies.items()}
    yield _histograms(
        "job_wait_seconds", "Seconds from when a job could be started to its first start.", waits
    )
    yield _histograms("job_run_seconds", "Seconds that attempts ran.", runs)


def _workers(snapshot: Snapshot) -> Iterator[Metric]:
    states = [one.state for one in snapshot.workers]
    alive = [one for one in snapshot.workers if one.state != "silent"]
    yield _gauge(
        "workers",
        "Workers by state, each with all of its processes; silent: not heard of for 15 seconds.",
        ("state",),
        [((state,), states.count(state)) for state in WORKER_STATES],
    )
    yield _gauge(
        "workers_busy",
        "Workers that run at least one job.",
        (),
        _one(sum(one.running > 0 for one in alive)),
    )
    yield _gauge(
        "worker_processes",
        "Processes of all workers that live.",
        (),
        _one(sum(one.processes for one in alive)),
    )
    yield _gauge(
        "worker_running_jobs",
        "Jobs that the workers say they run.",
        (),
        _one(sum(one.running for one in alive)),
    )
    yield _gauge(
        "worker_capacity_jobs",
        "Jobs that the workers which take any can run at once.",
        (),
        _one(sum(one.capacity for one in alive if one.takes)),
    )


def _redis(redis: RedisState | None) -> Iterator[Metric]:
    yield _gauge("redis_up", "1: Redis answers.", (), _one(redis is not None))
    if redis is None:
        return
    yield _gauge(
        "redis_latency_seconds",
        "Seconds that one command took there and back.",
        (),
        _one(redis.latency),
    )
    if redis.version:
        yield _gauge("redis_info", "Which Redis it is.", ("version",), [((redis.version,), 1.0)])
    told = (
        ("redis_memory_bytes", "Memory that the data of Redis takes.", redis.memory),
        ("redis_memory_limit_bytes", "Its maxmemory; none: it has none.", redis.memory_limit),
        (
            "redis_memory_fragmentation_ratio",
            "Resident memory for each byte of it.",
            redis.fragmentation,
        ),
        ("redis_connected_clients", "Connections to Redis.", redis.clients),
        ("redis_replicas", "Replicas that follow it.", redis.replicas),
        ("redis_persisted", "1: its last saves went well.", redis.persisted),
    )
    for name, help_text, value in told:
        if value is not None:
            yield _gauge(name, help_text, (), _one(value))
    if redis.evicted is not None:
        yield _counter(
            "redis_evicted_keys",
            "Keys that Redis deleted because its memory was full.",
            (),
            _one(redis.evicted),
        )


def _readers(queue: str, snapshot: Snapshot) -> int:
    return sum(one.takes and queue in one.queues for one in snapshot.workers)


def _one(value: float) -> list[tuple[Sequence[str], float]]:
    return [((), float(value))]


def _gauge(name: str, help_text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    metric = GaugeMetricFamily(f"jobq_{name}", help_text, labels=labels)
    for values, value in _distinct(samples):
        metric.add_metric(values, value)
    return metric


def _counter(name: str, help_text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    metric = CounterMetricFamily(f"jobq_{name}", help_text, labels=labels)
    for values, value in _distinct(samples):
        metric.add_metric(values, value)
    return metric


def _histograms(name: str, help_text: str, histograms: dict[tuple[str, str], Histogram]) -> Metric:
    metric = HistogramMetricFamily(f"jobq_{name}", help_text, labels=("queue", "job"))
    for labels, histogram in histograms.items():
        metric.add_metric(labels, _buckets(histogram), histogram.seconds)
    return metric


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the buckets that are shown: the upper bound of each, and how many lie below it."""
    shown: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*BOUNDS, inf), histogram.counts, strict=True):
        below += count
        if bound in BUCKETS:
            shown.append((str(bound), below))
    return [*shown, ("+Inf", below)]


def _distinct(samples: _Samples) -> Iterator[tuple[list[str], float]]:
    """Leave out labels that are like others once they are cut: two would be no valid text."""
    seen: set[tuple[str, ...]] = set()
    for values, value in samples:
        labels = tuple(map(_label, values))
        if labels not in seen:
            seen.add(labels)
            yield list(labels), value


def _label(name: str) -> str:
    return escape(name.encode("utf-8", "replace").decode())[:_MOST]
