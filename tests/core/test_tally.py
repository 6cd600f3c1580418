"""What is counted, and how it stands in Redis: sums, percentiles, garbage that is passed over."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core import tally
from jobq.core.tally import BOUNDS, COUNTERS, Count, Histogram, Tally

#: Monotonic time is so much before Redis time.
OFFSET = 1_700_000_000.0


def histogram(*seconds: float) -> Histogram:
    counts: tally.Counts = {}
    for one in seconds:
        tally.add(counts, tally.one((0.0, one)))
    return tally.tally_of(counts).runs


def entries(ready: list[float]) -> list[bytes]:
    return [b"%d-%d" % (round((OFFSET + at) * 1000), number) for number, at in enumerate(ready)]


def test_a_percentile_is_right_to_the_width_of_its_bucket() -> None:
    found = histogram(*[0.003] * 90, *[7.0] * 10)
    assert found.count == 100
    assert found.mean == pytest.approx(0.7027)
    middle, high = found.percentile(50), found.percentile(99)
    assert middle is not None
    assert 0.002 < middle <= 0.005
    assert high is not None
    assert 5 < high <= 10
    assert found.percentile(0) is not None
    assert Histogram().percentile(50) is None
    assert Histogram().mean is None
    assert histogram(10**9).percentile(50) == BOUNDS[-1]
    with pytest.raises(ValueError, match="percentile of 101"):
        found.percentile(101)


def test_tallies_are_added_up() -> None:
    one = tally.tally_of({"e": 2, "s": 1, "R3": 1, "R": 500, "t": 1})
    both = one + tally.tally_of({"d": 1, "W0": 1, "W": 1000})
    assert both == tally.total([one, tally.tally_of({"d": 1, "W0": 1, "W": 1000})])
    assert {name: number for name, number in both.counters.items() if number} == {
        "enqueued": 2,
        "started": 2,
        "succeeded": 1,
        "dead": 1,
    }
    assert (both.runs.count, both.waits.count, both.waits.seconds) == (1, 1, 1.0)
    assert tuple(Tally().counters) == COUNTERS


@given(
    st.lists(
        st.tuples(st.floats(0, 2000), st.floats(0, 500), st.floats(0, 90)), min_size=1, max_size=200
    ),
    st.booleans(),
)
def test_a_batch_counts_what_its_jobs_count_one_by_one(
    jobs: list[tuple[float, float, float]], together: bool
) -> None:
    """Whether they are looked at together or each for itself."""
    ready = sorted(round(at, 3) for at, _, _ in jobs)
    spans = [
        (at + waited, at + waited + ran) for at, (_, waited, ran) in zip(ready, jobs, strict=True)
    ]
    if together:  # a backlog: all began at about the same time
        spans = [(2600.0 + at / 1e6, 2600.5) for at in ready]
    names = ["a", "b"] if len(jobs) % 2 else ["a"]
    of = [names[at % len(names)] for at in range(len(jobs))]
    found = tally.by_job(of, entries(ready), spans, OFFSET)
    for name in set(of):
        mine = [at for at, one in enumerate(of) if one == name]
        alone: tally.Counts = {}
        for at in mine:
            tally.add(alone, tally.one(spans[at], spans[at][0] - ready[at]))
        batch = tally.tally_of(found[name])
        assert batch.succeeded == len(mine) == batch.runs.count == batch.waits.count
        assert batch.runs.counts == tally.tally_of(alone).runs.counts
        assert batch.runs.seconds == pytest.approx(tally.tally_of(alone).runs.seconds, abs=1e-3)
        exact = sum(max(0.0, spans[at][0] - ready[at]) for at in mine)
        assert batch.waits.seconds == pytest.approx(exact, rel=0.03, abs=0.01 * len(mine))


def test_entries_of_strangers_are_counted_somewhere() -> None:
    for ready in (b"5-1", b"99999999999999999999-0", b"0-0"):
        (counts,) = tally.by_job(["a"], [ready], [(1.0, 2.0)], OFFSET).values()
        assert tally.tally_of(counts).waits.count == 1


def test_how_an_attempt_ended_is_counted_with_it() -> None:
    assert tally.words(tally.one(tally.NO_SPAN, None, tally.CRASHED, tally.STARTED)) == "c 1 t 1"
    assert tally.words(tally.one((1.0, 1.0), 0.5, tally.FAILED)) == "f 1 R0 1 R 0 W11 1 W 500"
    assert tally.words(tally.one(tally.NO_SPAN)) == ""


@given(st.binary(max_size=60))
def test_garbage_in_a_row_is_nothing(row: bytes) -> None:
    assert all(number >= 0 for number in tally.read_row(row).values())


@pytest.mark.parametrize(
    "row",
    [
        None,
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({"s": -1, "q": 5, 3: 4, "e": 2.5, "R99": 1, "d": True, "f": 2**63}),
        msgpack.packb({"s": "x" * 5000}),
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_what_no_row_has_is_passed_over(row: bytes | None) -> None:
    assert tally.read_row(row) == {}


def test_a_number_that_is_in_no_row_names_its_minute_and_job_function() -> None:
    assert tally.read_count(b"28333333 W12 a name", b"7") == Count(
        28333333, "a name", "W12", 7, b"28333333 W12 a name"
    )
    tens = tally.read_count(b"170000003 e a", b"7")
    assert tens == Count(28333333, "a", "e", 7, b"170000003 e a")
    for name, value in (
        (b"28333333 W12", b"7"),
        (b"x s a", b"7"),
        (b"1 s a", b"-7"),
        (b"1 s a", b"seven"),
        (b"1 q a", b"7"),
        (b"1" * 5000 + b" s a", b"7"),
        (b"#", b"7"),
        (b"\xff\xfe", b"7"),
    ):
        assert tally.read_count(name, value) is None


def test_a_name_that_no_job_function_has_is_counted_under_others() -> None:
    assert tally.counted_as("jobs.send") == "jobs.send"
    assert tally.counted_as("") == tally.counted_as("é" * 500) == tally.OTHERS
