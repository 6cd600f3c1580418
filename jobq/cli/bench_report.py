"""What `jobq bench` says: a table and a sentence for people, JSON for programs."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from jobq.cli.bench_numbers import Number
from jobq.cli.output import say, table
from jobq.store.bare.server import ServerFacts

#: Commands of others a second from which on a server counts as busy.
BUSY: Final = 100

#: MiB that a bench needs in Redis at most.
NEEDS: Final = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a bench was run.

    Attributes:
        server: what it said of itself before.
        where: it is; without a password.
        traffic: commands a second that others sent to it before.
    """

    server: ServerFacts
    where: str
    traffic: float = 0.0

    @property
    def line(self) -> str:
        """All of it, for people."""
        return (
            f"jobq {version('jobq')}, Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"{self.server.name} {self.server.version} at {self.where}"
        )

    def remarks(self) -> list[str]:
        """Return what stands against good numbers."""
        server, found = self.server, []
        if server.limit and server.limit - server.used < max(NEEDS << 20, server.limit // 10):
            found.append(
                f"warning: Redis uses {server.used >> 20:,} MiB of {server.limit >> 20:,} "
                f"(maxmemory), and the bench needs up to {NEEDS}"
            )
        if self.traffic > BUSY:
            found.append(
                f"note: others send this Redis {self.traffic:,.0f} commands a second; the "
                "numbers will be the worse for it, and so will they"
            )
        return found


def to_json(results: Sequence[Number], setting: Setting, rounds: int, seconds: float) -> str:
    """Return the results as one JSON document."""
    rows = [
        {
            "name": one.measure.name,
            "value": _rounded(one.value),
            "unit": one.measure.unit,
            "bare": _rounded(one.bare),
            "ratio": _rounded(one.ratio),
            "budget": f"{one.measure.of} {_limit(one)}",
            "met": one.met,
        }
        for one in results
    ]
    said = {
        "results": rows,
        "server": f"{setting.server.name} {setting.server.version}",
        "url": setting.where,
        "python": platform.python_version(),
        "jobq": version("jobq"),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "seconds": round(seconds, 1),
    }
    return json.dumps(said, indent=2)


def show(results: Sequence[Number], rounds: int, seconds: float) -> None:
    """Write the results as a table, and what they come to."""
    table(
        ("MEASURE", "JOBQ", "BARE", "UNIT", "RATIO", "BUDGET", "", "WHAT"),
        [
            (
                one.measure.name,
                _written(one.value),
                _written(one.bare),
                one.measure.unit,
                f"{one.ratio:.2f}",
                _limit(one) + ("" if one.measure.of == "ratio" else f" {one.measure.unit}"),
                "ok" if one.met else "short",
                one.measure.what,
            )
            for one in results
        ],
        right=("JOBQ", "BARE", "RATIO"),
        cuttable=("WHAT",),
    )
    say(closing(results, rounds, seconds))


def closing(results: Sequence[Number], rounds: int, seconds: float) -> str:
    """Return in one sentence what the results come to."""
    verdict = "all budgets are met"
    short = [f"{one.measure.name} by {one.short_by:.0%}" for one in results if not one.met]
    if short:
        verdict = f"{len(short)} of {len(results)} fall short of their budget: {', '.join(short)}"
    many = "1 round" if rounds == 1 else f"{rounds} rounds"
    return f"Medians of {many} in {seconds:.0f} s: {verdict}."


def _limit(number: Number) -> str:
    measure = number.measure
    return f"{'>=' if measure.more_is_better else '<='} {measure.budget:g}"


def _rounded(value: float) -> float:
    """Keep four digits: more would be noise."""
    return float(f"{value:.4g}")


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
