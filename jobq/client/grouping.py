"""Groups of dead letters that died of the same thing, as the desk shows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jobq.client.filters import NO_GROUP, Filter
from jobq.client.rows import moment
from jobq.store.ops import inspect, letters
from jobq.store.ops.letters import Alike, Groups
from jobq.store.sync import Store


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Dead letters of a queue that died of the same thing.

    Attributes:
        fingerprint: see `jobq.core.fingerprint`; ``*``: those beyond the thousandth group; ``-``:
            those that have none.
        queue: where they are.
        job: the name of the job function; empty: of many.
        error: the qualified name of the exception; empty: many, or none.
        message: what one of the exceptions said.
        count: how many there are.
        first_at: when the first of them failed since there is the group; None: it is not known.
        last_at: when the last of them failed.
        sample: the id of the newest job among them; empty: it was not looked for, or has gone.
    """

    fingerprint: str
    queue: str
    job: str
    error: str
    message: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    sample: str = ""


def grouped(store: Store, wanted: Filter, queues: Sequence[str]) -> list[GroupRow]:
    """List the groups that a filter means, the largest first, without samples.

    Args:
        store: the Redis.
        wanted: the filter; of times it means groups with letters before and after; of messages
            the one that is known of a group.
        queues: where to look.
    """
    found: list[GroupRow] = []
    for queue in queues:
        groups = store.run(letters.alike(queue))
        found += [_row(queue, one) for one in groups.every]
        if groups.dead > groups.grouped:
            found.append(_rest(queue, groups))
    meant = [one for one in found if _is_meant(wanted, one)]
    return sorted(meant, key=lambda one: (-one.count, one.queue, one.fingerprint))


def with_samples(store: Store, rows: Sequence[GroupRow]) -> list[GroupRow]:
    """Return groups with the ids of their newest jobs."""
    newest = list(
        store.run_each(letters.entries(one.queue, one.fingerprint, "", "", 1) for one in rows)
    )
    named = [(at, entry) for at, entries in enumerate(newest) for entry in entries]
    dead = store.run_each(inspect.letter(rows[at].queue, entry) for at, entry in named)
    samples = {at: one[0].job_id for (at, _), one in zip(named, dead, strict=True) if one}
    return [replace(one, sample=samples.get(at, "")) for at, one in enumerate(rows)]


def _row(queue: str, alike: Alike) -> GroupRow:
    group = alike.group
    return GroupRow(
        group.fingerprint,
        queue,
        group.job,
        group.error,
        group.sample,
        alike.count,
        moment(alike.first_ms),
        moment(alike.last_ms),
    )


def _rest(queue: str, groups: Groups) -> GroupRow:
    return GroupRow(NO_GROUP, queue, "", "", "", groups.dead - groups.grouped, None, None)


def _is_meant(wanted: Filter, row: GroupRow) -> bool:
    if wanted.group not in {None, row.fingerprint} or not wanted.fits_names(row.job, row.error):
        return False
    if row.first_at is None or row.last_at is None:
        return not (wanted.since or wanted.until or wanted.message)
    return wanted.fits_times(row.first_at, row.last_at) and wanted.fits_message(row.message)
