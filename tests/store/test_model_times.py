"""When jobs start, in any order of steps of producers, workers, supervisors, people, and time."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test as run_machine

from jobq.errors import StoreError
from jobq.store import clock, moved
from jobq.store.address import parse_url
from jobq.store.ops import pause
from jobq.store.sync import Store
from jobq.store.wire import Script
from tests.store.machine_times import Calendar
from tests.support import source
from tests.support.server import Server


@pytest.fixture(autouse=True)
def _obeying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time can be moved; and held jobs are given free in pages of two, so that there are some."""
    monkeypatch.setattr(pause, "PAGE", 2)
    before = clock.obey_test_clock()
    yield
    clock.obey_test_clock(obey=before)


def check(server: Server, *, examples: int, steps: int, until_found: bool = False) -> None:
    """Try many orders of steps; always the same ones if something must be found."""
    store = Store(lambda: parse_url(server.url), patience=10.0)
    run_machine(
        lambda: Calendar(store, server),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,) if until_found else tuple(Phase),
            derandomize=until_found,
        ),
    )
    store.close()


def test_any_order_of_steps(server: Server) -> None:
    check(server, examples=20, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_orders_of_steps(server: Server) -> None:
    check(server, examples=500, steps=60)


#: A script, what stands there, and what breaks one rule of it.
MUTANTS = [
    # what is due
    ("promote", "skip = math.min(skip, redis.call('ZCOUNT', due, from, from))", "skip = skip + 0"),
    ("promote", "from, number(now), 'WITHSCORES'", "from, number(now + 9e7), 'WITHSCORES'"),
    ("promote", "'XADD', streams[letter], '*'", "'XADD', streams.j, '*'"),
    ("promote", "if letter ~= 'd' and not", "if not"),
    ("claim", "if string.find(kinds, ARGV[6], 1, true) then", "if true then"),
    ("claim", "if letter ~= 'j' then fields", "if false then fields"),
    ("claim", "redis.call('HDEL', KEYS[4], id)", ""),
    ("claim", "'RETRYCOUNT', 1, 'JUSTID'", "'RETRYCOUNT', 0, 'JUSTID'"),
    # uniqueness keys
    ("enqueue_keyed", "if superseded then", "if false then"),
    ("enqueue_keyed", "parked and tonumber(held[1][4]) == 0", "parked"),
    ("enqueue_keyed", "if where == 'x' then return false end", ""),
    ("enqueue_keyed", "redis.call('XDEL', streams[where], entry)", ""),
    ("enqueue_keyed", "HSET', delayed, id, value) -- first", "HSETNX', delayed, id, value) --"),
    ("enqueue_keyed", "math.min(now + debounce, since + tonumber(ARGV[14]))", "now + debounce"),
    ("enqueue_keyed", "if replaced.fresh then since", "if false then since"),
    ("enqueue_keyed", "if last >= number then", "if last > number then"),
    ("enqueue_keyed", "if score >= tonumber(ARGV[21]) then", "if false then"),
    ("enqueue_keyed", "#times >= count then", "#times > count then"),
    ("enqueue_keyed", "if lock.mode == 't' then", "if false then"),
    ("cancel", "'HDEL', KEYS[12], key", "'HDEL', KEYS[12]"),
    # lines
    ("read", "or (number == spare and #given > 0) then", "then"),
    ("revive", "if found[2][i] == 'line' then", "if false then"),
    ("enqueue_special", "ARGV[i], ARGV[3] .. entry", "ARGV[i], 'j' .. entry"),
    # pauses
    ("pauses", "ended = ended or every[i] ~= '*'", ""),
    ("pauses", "== 'P' and '!' or '?'", "== 'P' and '?' or '?'"),
    ("pauses", "before = ms(held + next)", "before = '+inf'"),
    ("resume", "if ARGV[1] ~= '*' then redis.call('HSET'", "if false then redis.call('HSET'"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "good", "bad"), MUTANTS)
def test_a_broken_rule_is_noticed(server: Server, name: str, good: str, bad: str) -> None:
    text = (source.ROOT / f"jobq/store/lua/{name}.lua").read_text(encoding="utf-8")
    assert text.count(good) == 1, "the script has changed: break it in another way"
    Script.change_all(lambda one: moved.moved(one.replace(good, bad) if one == text else one))
    try:
        with pytest.raises((AssertionError, LookupError, StoreError, Flaky)):
            check(server, examples=1000, steps=50, until_found=True)
    finally:
        Script.change_all(moved.moved)
        server.cli("FLUSHALL")  # it was left in the midst of something
