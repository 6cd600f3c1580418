"""The size of batches: about ten milliseconds of work."""

from hypothesis import given
from hypothesis import strategies as st

from jobq.runtime.pace import MOST, STUCK, TARGET, Pace, Probe, share


def test_it_starts_with_one_and_doubles_at_most() -> None:
    pace = Pace()
    sizes = []
    for _ in range(10):
        sizes.append(pace.size)
        pace.ran(pace.size, 0.0)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]


def test_one_slow_job_makes_it_fall_to_one_at_once() -> None:
    pace = Pace()
    pace.size = MOST
    pace.ran(1, 2.0)
    assert pace.size == 1


def test_nothing_is_learnt_from_nothing() -> None:
    pace = Pace()
    pace.size = 7
    pace.ran(0, 100.0)
    assert pace.size == 7


@given(each=st.floats(1e-7, 10), start=st.integers(1, MOST))
def test_it_settles_at_ten_milliseconds_of_work(each: float, start: int) -> None:
    pace = Pace()
    pace.size = start
    for _ in range(10):
        pace.ran(pace.size, pace.size * each)
    assert 1 <= pace.size <= MOST
    assert pace.size == 1 or pace.size * each <= TARGET * 1.001
    assert pace.size == MOST or (pace.size + 1) * each >= TARGET * 0.999


def test_a_probe_looks_for_more_as_long_as_it_finds_none_of_the_others() -> None:
    probe = Probe()
    wanted = []
    for _ in range(4):
        wanted.append(probe.want(100, 0.0))
        probe.found(0, 0.0)
    assert wanted == [1, 2, 4, 8]
    assert probe.want(3, 0.0) == 3


def test_a_probe_looks_ever_more_rarely_when_it_finds_others() -> None:
    probe, now, pauses = Probe(), 0.0, []
    for _ in range(8):
        probe.found(1, now)
        assert probe.want(9, now + 0.001) == 0
        pause = next(at / 1000 for at in range(1, 2000) if probe.want(9, now + at / 1000))
        pauses.append(pause)
        now += pause
    assert pauses[0] <= STUCK[0] + 0.002
    assert max(pauses) <= STUCK[1] + 0.002
    probe.found(0, now)
    assert probe.want(9, now) == 2


@given(want_sync=st.integers(-5, 500), want_async=st.integers(-5, 500), part=st.floats(0, 1))
def test_a_share_overflows_neither_kind(want_sync: int, want_async: int, part: float) -> None:
    many = share(want_sync, want_async, part)
    if want_sync <= 0 or want_async <= 0:
        assert many == 0
    else:
        assert many >= 1
        assert many == 1 or many * part <= want_sync * 1.001
        assert many == 1 or many * (1 - part) <= want_async * 1.001
