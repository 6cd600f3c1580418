"""The queues of a worker as ``-q`` names them: their order, or their weights."""

import re
from collections.abc import Sequence
from typing import Final

import click

from jobq.cli.options import queue_name
from jobq.runtime.fairness import MOST_WEIGHT

_WHOLE: Final = re.compile(r"[0-9]{1,4}")


class WeightedQueue(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A queue, or ``QUEUE=WEIGHT``."""

    name = "queue"

    def convert(
        self, value: str, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> tuple[str, int | None]:
        """Read one; a name that has a ``=`` itself needs a weight behind it.

        Raises:
            click.BadParameter: no queue can have that name, or it is no weight.
        """
        name, separator, weight = value.rpartition("=")
        if not separator:
            return queue_name(value), None
        if not _WHOLE.fullmatch(weight) or not 1 <= int(weight) <= MOST_WEIGHT:
            raise click.BadParameter(
                f"{weight[:40]!r} is no weight; use a whole number from 1 to {MOST_WEIGHT}, "
                f"such as -q {name or 'mail'}=5"
            )
        return queue_name(name), int(weight)


def queues_and_weights(
    given: Sequence[tuple[str, int | None]],
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the queues in their order, and the weight of each; none where no weight was given.

    Raises:
        click.BadParameter: one was named twice.
    """
    names = tuple(name for name, _ in given)
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(
                f"{name!r} is named twice; name it once, with a weight for a larger share: "
                f"-q {name}=5"
            )
    if all(weight is None for _, weight in given):
        return names, ()
    return names, tuple(weight or 1 for _, weight in given)


def told(queues: Sequence[str], weights: Sequence[int]) -> str:
    """Return queues for people to read: with their weights, if they have any."""
    if not weights:
        return ", ".join(queues)
    return ", ".join(f"{name}={weight}" for name, weight in zip(queues, weights, strict=True))
