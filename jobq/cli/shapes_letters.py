"""What `--json` of the other commands on dead letters writes."""

from jobq.cli.shapes import Object, instant, letter
from jobq.client.grouping import GroupRow
from jobq.client.letters import Changes
from jobq.client.rows import LetterRow


def group(row: GroupRow) -> Object:
    """Return the object of a group of dead letters."""
    return {
        "group": row.fingerprint,
        "queue": row.queue,
        "job": row.job or None,
        "error": row.error or None,
        "message": row.message or None,
        "count": row.count,
        "first_at": instant(row.first_at),
        "last_at": instant(row.last_at),
        "sample": row.sample or None,
    }


def changes(what: Changes, done: str) -> Object:
    """Return what came of a change.

    Args:
        done: the name of the number of those that were changed: ``purged``.
    """
    return {done: what.done, "missing": list(what.missing)}


def exported(row: LetterRow, exact: Object | None) -> Object:
    """Return the object of a line of an export."""
    return {**letter(row), "exact": exact}
