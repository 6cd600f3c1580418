"""When jobs start, in any order of steps of producers, workers, supervisors, people, and time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test as run_machine

from jobq.store import moved
from jobq.store.ops import pause
from jobq.store.address import parse_url
from jobq.store.sync import Store
from jobq.store.wire import Script
from tests.conftest import StartServer
from tests.store import model_times
from tests.store.machine_times import Calendar
from tests.support.server import Server


@pytest.fixture(autouse=True)
def _obeying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time can be moved; and held jobs are given free in pages of two, so that there are some."""
    monkeypatch.setattr(pause, "PAGE", 2)
    before = moved.obey_test_clock()
    yield
    moved.obey_test_clock(obey=before)


def check(server: Server, *, examples: int, steps: int, phases: tuple[Phase, ...] = ()) -> None:
    """Try many orders of steps."""
    store = Store(lambda: parse_url(server.url), patience=10.0)
    run_machine(
        lambda: Calendar(store, server),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=phases or tuple(Phase),
        ),
    )
    store.close()


def test_any_order_of_steps(server: Server) -> None:
    check(server, examples=25, steps=40)
