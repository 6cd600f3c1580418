"""Whose turn it is among queues: by properties of what they get."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from jobq.runtime.fairness import MOST_WEIGHT, Turns

weights = st.lists(st.integers(1, MOST_WEIGHT), min_size=1, max_size=6)
small_weights = st.lists(st.integers(1, 9), min_size=2, max_size=4)


def fetch(turns: Turns, want: int, left: list[float]) -> Counter[int]:
    """Take as a worker does: in turn, until it has what it wants or has asked each once."""
    got: Counter[int] = Counter()
    for number, most in turns.next(want):
        asked = min(most, want - got.total())
        many = int(min(asked, left[number]))
        left[number] -= many
        got[number] += many
        turns.took(number, many, asked)
        if got.total() >= want:
            break
    return got


def test_without_weights_the_first_one_goes_first() -> None:
    turns = Turns(3)
    for _ in range(5):
        turns.took(0, 7, 7)
        assert turns.next(7) == [(0, 7), (1, 7), (2, 7)]


@settings(max_examples=30, deadline=None)
@given(weights, st.integers(1, 256))
def test_each_is_asked_once_for_at_least_one(given_weights: list[int], want: int) -> None:
    turns = Turns(len(given_weights), given_weights)
    for _ in range(3):
        asked = turns.next(want)
        assert sorted(number for number, _ in asked) == list(range(len(given_weights)))
        assert all(1 <= most <= want for _, most in asked)
        assert sum(most for _, most in asked) >= want, "together they can fill it"
        turns.took(asked[0][0], asked[0][1], asked[0][1])


@settings(max_examples=20, deadline=None)
@given(small_weights, st.integers(1, 64))
def test_busy_queues_give_in_proportion_to_their_weights(
    given_weights: list[int], want: int
) -> None:
    turns, left = Turns(len(given_weights), given_weights), [float("inf")] * len(given_weights)
    got: Counter[int] = Counter()
    while got.total() < 40 * want + 3000:
        got += fetch(turns, want, left)
    for number, weight in enumerate(given_weights):
        share = got[number] / got.total()
        assert abs(share - weight / sum(given_weights)) < 0.03


@settings(max_examples=30, deadline=None)
@given(small_weights, st.data())
def test_one_that_was_idle_has_saved_up_nothing(
    given_weights: list[int], data: st.DataObject
) -> None:
    """Nor has it lost anything: from when it has jobs it gets its share, whatever was before."""
    many = len(given_weights)
    idle = data.draw(st.integers(0, many - 1))
    before = data.draw(st.integers(0, 100))
    trickle = data.draw(st.booleans())
    turns, left = Turns(many, given_weights), [float("inf")] * many
    left[idle] = 0
    for _ in range(before):
        if trickle:
            left = [0 if number == idle else 1 for number in range(many)]
        fetch(turns, 4, left)
    got: Counter[int] = Counter()
    left = [float("inf")] * many
    total = 100 * sum(given_weights)
    while got.total() < total:
        got += fetch(turns, 4, left)
    assert abs(got[idle] / got.total() - given_weights[idle] / sum(given_weights)) < 0.05


@settings(max_examples=30, deadline=None)
@given(weights, st.integers(1, 256))
def test_a_lone_busy_queue_gets_all(given_weights: list[int], want: int) -> None:
    """However small its weight: what the others could have is not left unused."""
    many = len(given_weights)
    left = [0.0] * many
    left[-1] = float("inf")
    turns = Turns(many, given_weights)
    fetch(turns, want, left)
    for _ in range(5):
        assert fetch(turns, want, left).total() == want
