"""`jobq bench`: measure jobq on the user's Redis, each number beside a bare loop."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from time import sleep
from typing import Final

import click

from jobq.cli.bench_lab import Lab, signals_end_us
from jobq.cli.bench_measures import Round, Sizes
from jobq.cli.bench_numbers import Pair, numbers
from jobq.cli.bench_report import Setting, show, to_json
from jobq.cli.opening import open_app
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import say
from jobq.client.app import JobQ
from jobq.core.clock import SystemClock
from jobq.store.bare.server import facts


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: of which the medians are taken.
        sizes: of each of them.
        seconds: after which no further round begins, however few there were.
    """

    rounds: int
    sizes: Sizes
    seconds: float


#: The first round is thrown away: scripts are loaded in it, and code is warmed up.
_WARM_UP: Final = Sizes(delay=50, adelay=200, map=1000, drain=1000, naps=200, pickups=5)

_FULL: Final = Plan(
    rounds=9,
    sizes=Sizes(delay=1500, adelay=4000, map=20_000, drain=20_000, naps=10_000, pickups=50),
    seconds=40.0,
)
_QUICK: Final = Plan(
    rounds=3,
    sizes=Sizes(delay=400, adelay=1500, map=10_000, drain=10_000, naps=4000, pickups=20),
    seconds=7.0,
)

#: Seconds for which the traffic of others is counted.
_LOOK: Final = 0.2

#: Cells of what the terminal shows meanwhile, to be written over.
_WIDEST: Final = 20


@click.command(epilog="Read the ratios: what disturbs a round disturbs both of its sides.")
@click.option("--quick", is_flag=True, help="Fewer and smaller rounds: under 15 s, and rougher.")
@json_option
@redis_options
def bench(quick: bool, as_json: bool, url: str | None, app: str | None) -> None:
    """Measure jobq on your Redis, each number beside a bare loop on the same server.

    It takes under a minute, works in queues of its own and clears them away. What else this
    machine and that Redis do makes the numbers worse.
    """
    found = open_app(url, app)
    setting = _look_at(found)
    plan = _QUICK if quick else _FULL
    if not as_json:
        say(setting.line)
    for remark in setting.remarks():
        say(remark, err=True)
    clock = SystemClock()
    began = clock.monotonic()
    with signals_end_us(), Lab(found.redis_url()) as lab:
        rounds = _measure(lab, plan, began + plan.seconds)
    seconds = clock.monotonic() - began
    results = numbers(rounds)
    if as_json:
        click.echo(to_json(results, setting, len(rounds), seconds))
    else:
        show(results, len(rounds), seconds)


def _look_at(app: JobQ) -> Setting:
    before = app.store.run(facts())
    sleep(_LOOK)
    server = app.store.run(facts())
    return Setting(server, app.safe_url(), (server.commands - before.commands) / _LOOK)


def _measure(lab: Lab, plan: Plan, until: float) -> list[Mapping[str, Pair]]:
    Round(lab, _WARM_UP, bare_first=False).run()
    rounds: list[Mapping[str, Pair]] = []
    while len(rounds) < plan.rounds and (not rounds or lab.clock.monotonic() < until):
        _progress(f"round {len(rounds) + 1} of {plan.rounds}")
        rounds.append(Round(lab, plan.sizes, bare_first=len(rounds) % 2 == 1).run())
    _progress("")
    return rounds


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{text:{_WIDEST}}\r", nl=False, err=True)
