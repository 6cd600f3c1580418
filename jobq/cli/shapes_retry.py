"""What `jobq dlq retry --json` writes."""

from jobq.cli.shapes import Object
from jobq.client.retrying import Progress


def retried(progress: Progress, selected: int, missing: tuple[str, ...] = ()) -> Object:
    """Return what came of it.

    Args:
        selected: dead letters that were chosen.
        missing: ids that were asked for and are no dead letters.
    """
    return {
        "selected": selected,
        "retried": progress.retried,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "open": progress.open,
        "gone": progress.gone,
        "refusals": progress.refusals,
        "refused": [{"id": one.id, "why": one.why} for one in progress.refused],
        "missing": list(missing),
        "stopped": progress.stopped or None,
    }
