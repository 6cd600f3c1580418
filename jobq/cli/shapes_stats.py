"""What `jobq stats --json` writes."""

from jobq.cli.shapes import Object, instant
from jobq.client.numbers import Point
from jobq.core.tally import Histogram


def point(point: Point, queue: str | None, job: str | None) -> Object:
    """Return the object of a row.

    Args:
        point: it.
        queue: what ``--queue`` said.
        job: what ``--job`` said.
    """
    return {
        "at": instant(point.at),
        "queue": point.queue or queue,
        "job": point.job or job,
        **point.tally.counters,
        "wait": _times(point.tally.waits),
        "run": _times(point.tally.runs),
    }


def _times(histogram: Histogram) -> Object:
    """Return a histogram in short; seconds, null where nothing was measured."""
    return {
        "count": histogram.count,
        "mean": histogram.mean,
        "p50": histogram.percentile(50),
        "p95": histogram.percentile(95),
        "p99": histogram.percentile(99),
    }
