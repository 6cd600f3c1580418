"""What ``-q`` of a worker takes."""

import click
import msgpack
import pytest

from jobq.cli.weights import WeightedQueue, queues_and_weights, told
from jobq.client.worker_rows import worker_row
from jobq.store.ops.inspect import Presence


def read(*words: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    kind = WeightedQueue()
    return queues_and_weights([kind.convert(word, None, None) for word in words])


@pytest.mark.parametrize(
    ("words", "names", "weights"),
    [
        ((), (), ()),
        (("mail", "bulk"), ("mail", "bulk"), ()),
        (("mail=5", "bulk=1"), ("mail", "bulk"), (5, 1)),
        (("mail=1000", "bulk"), ("mail", "bulk"), (1000, 1)),
        (("a=b=2",), ("a=b",), (2,)),
    ],
)
def test_queues_with_and_without_weights(
    words: tuple[str, ...], names: tuple[str, ...], weights: tuple[int, ...]
) -> None:
    assert read(*words) == (names, weights)


@pytest.mark.parametrize(
    "weight", ["0", "-1", "nan", "inf", "1001", "99999", "much", "", "2.5", "1e2", "٣", " 1", "+1"]
)
def test_what_is_no_weight_is_refused_with_the_fix(weight: str) -> None:
    with pytest.raises(click.BadParameter, match=r"whole number from 1 to 1000, such as -q mail=5"):
        read(f"mail={weight}")


def test_a_queue_that_cannot_be_is_refused() -> None:
    for word in ("", "=5", "{=5", "a b=2", "x" * 101 + "=1"):
        with pytest.raises(click.BadParameter):
            read(word)


@pytest.mark.parametrize("words", [("mail", "mail"), ("mail=5", "bulk", "mail=1")])
def test_a_queue_that_is_named_twice_is_refused_with_the_fix(words: tuple[str, ...]) -> None:
    with pytest.raises(click.BadParameter, match=r"'mail' is named twice; name it once"):
        read(*words)


def test_they_are_told_as_they_are_written() -> None:
    assert told(("mail", "bulk"), ()) == "mail, bulk"
    assert told(("mail", "bulk"), (5, 1)) == "mail=5, bulk=1"


@pytest.mark.parametrize("written", [None, "much", [5], {"mail": "5", "bulk": 1}])
def test_a_record_of_anything_is_read(written: object) -> None:
    row = worker_row(Presence("me", 1, msgpack.packb({"weights": written})))
    assert row.capacity.weights == ({"bulk": 1} if isinstance(written, dict) else {})
