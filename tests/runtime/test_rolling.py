"""The part of a supervisor that moves numbers into rows."""

from jobq.core.tally import Count
from jobq.errors import StoreError
from jobq.runtime.rolling import MUCH, Roller
from jobq.store.ops.numbers import Fresh
from tests.support.standing import Time

NOW_MS = 100 * 60_000 + 5.0


def roller(clock: Time) -> Roller:
    return Roller(lambda: ["mail"], lambda: NOW_MS, clock)


def looked(part: Roller, clock: Time, fresh: Fresh) -> int:
    """Give an answer to a look; tell how many ops follow."""
    clock.now += 20.0
    assert [op.words[0] for op in part.ops()] == ["HGETALL"]
    part.read([fresh])
    return len(part.ops())


def test_only_minutes_that_are_over_are_moved_unless_it_is_much() -> None:
    clock = Time()
    part = roller(clock)
    assert looked(part, clock, Fresh((Count(100, "a", "s", 1),), 0)) == 0
    assert looked(part, clock, Fresh((Count(99, "a", "s", 1), Count(100, "a", "s", 1)), 0)) == 1
    part.read([frozenset()])
    assert part.ops() == [], "it looks again later"
    much = tuple(Count(100, f"job-{at}", "s", 1) for at in range(MUCH + 1))
    assert looked(part, clock, Fresh(much, 0)) > 1


def test_numbers_without_room_go_to_those_of_others() -> None:
    clock = Time()
    part = roller(clock)
    fresh = Fresh((Count(99, "late", "s", 1),), 0)
    assert looked(part, clock, fresh) == 1
    part.read([frozenset({"late"})])
    (look,) = part.ops()
    assert look.words[0] == "HGETALL", "at once"
    part.read([fresh])
    (roll,) = part.ops()
    assert "*" in roll.words
    assert "late" not in roll.words
    part.read([StoreError("no", code="OOM")])
    assert part.ops() == []
