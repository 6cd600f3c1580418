"""The clock of this machine."""

from jobq.core.clock import Clock, SystemClock


def test_the_clock_goes_forward() -> None:
    clock: Clock = SystemClock()
    assert clock.time() > 1_700_000_000
    before = clock.monotonic()
    assert clock.monotonic() >= before
