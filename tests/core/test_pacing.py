"""Paced retries, decided without Redis, on a clock of the test's own."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.pacing import MOST_AHEAD, Pacer, Plan, Release, Stop, Wait, parse_rate, parse_share
from jobq.errors import OptionError


class Play:
    """Jobs that end an attempt some seconds after they were brought back."""

    def __init__(self, plan: Plan, total: int, *, fails: str = "", takes: float = 0.5) -> None:
        self.now = 100.0
        self.pacer = Pacer(plan, self.now)
        self.total = self.left = total
        self.fails = fails
        self.takes = takes
        self.why: str | None = None
        self._running: deque[tuple[float, bool]] = deque()

    def run(self, until: float = 1e9) -> "Play":
        pacer = self.pacer
        while self.now < until:
            while self._running and self._running[0][0] <= self.now:
                pacer.judged(failed=self._running.popleft()[1], now=self.now)
            match pacer.step(self.now):
                case Release(many):
                    assert many > 0
                    self._release(min(many, self.left))
                case Wait(seconds):
                    assert seconds > 0
                    self.now += seconds
                case Stop(why):
                    self.why = why
                    return self
            if not self.left:
                pacer.has_no_more()
        return self

    def _release(self, many: int) -> None:
        for _ in range(many):
            number = self.total - self.left
            failed = self.fails == "all" or (self.fails.isdigit() and number % int(self.fails) == 0)
            self._running.append((self.now + self.takes, failed))
            self.left -= 1
        self.pacer.has_released(many, self.now)


def test_the_canary_of_a_broken_function_ends_it() -> None:
    play = Play(Plan(canary=5, limit=0.2), 10_000, fails="all").run()
    assert play.pacer.released == 5
    assert play.why == "5 of the first 5 failed again"


def test_one_failure_in_five_is_a_fifth() -> None:
    play = Play(Plan(canary=5, limit=0.2), 100, fails="5").run()
    assert play.pacer.released == 5
    assert Play(Plan(canary=5, limit=0.21), 5, fails="5").run().why == ""


def test_without_a_limit_nothing_of_the_canary_may_fail_and_then_nothing_is_judged() -> None:
    assert Play(Plan(canary=10), 100, fails="7").run().pacer.released == 10
    play = Play(Plan(canary=3), 1000, fails="")
    play.fails = ""
    play.run(until=100.7)
    play.fails = "all"
    assert play.run().why == ""


def test_failures_after_a_good_start_end_it_soon() -> None:
    play = Play(Plan(rate=100, canary=5, limit=0.2), 100_000, takes=0.1)
    play.run(until=160.0)
    done = play.pacer.released
    assert done > 5000
    play.fails = "all"
    play.run()
    assert play.why is not None
    assert "failed again" in play.why
    assert play.pacer.released - done < 100  # far less than a fifth of all


def test_a_few_failures_do_not_end_it() -> None:
    play = Play(Plan(rate=100, limit=0.2), 2000, fails="10").run()
    assert (play.why, play.pacer.released, play.pacer.failed) == ("", 2000, 200)


@pytest.mark.parametrize("rate", [0.5, 3.0, 10.0, 500.0, 5000.0])
def test_the_rate_is_kept(rate: float) -> None:
    total = max(10, int(rate * 10))
    play = Play(Plan(rate=rate), total).run()
    assert play.now - 100.0 == pytest.approx((total - 1) / rate, rel=0.05, abs=0.1)


def test_a_pause_is_caught_up_with_in_part() -> None:
    play = Play(Plan(rate=100), 10_000).run(until=110.0)
    before = play.pacer.released
    play.now += 60
    play.run(until=play.now + 1e-9)
    assert play.pacer.released - before <= 100


def test_what_is_not_judged_yet_is_bounded() -> None:
    play = Play(Plan(limit=0.2), 100_000, takes=1e6).run(until=200.0)
    assert play.pacer.released == MOST_AHEAD
    assert play.run().why == "1,000 jobs have not ended an attempt, and none has for 600 s"


def test_without_judging_nobody_is_waited_for() -> None:
    play = Play(Plan(), 1234, takes=1e6).run()
    assert (play.now, play.why, play.pacer.released) == (100.0, "", 1234)


def test_the_last_ones_are_waited_for() -> None:
    play = Play(Plan(limit=0.2), 20, takes=5).run()
    assert play.pacer.succeeded == 20
    play = Play(Plan(canary=1, patience=3), 1, takes=5).run()
    assert play.why == "1 job has not ended an attempt, and none has for 3 s"


@given(
    st.sampled_from([None, 2.0, 50.0]),
    st.integers(0, 20),
    st.sampled_from([None, 0.0, 0.2, 1.0]),
    st.integers(1, 300),
    st.sampled_from(["", "all", "3", "50"]),
)
def test_it_always_ends_and_never_brings_back_too_many(
    rate: float | None, canary: int, limit: float | None, total: int, fails: str
) -> None:
    play = Play(Plan(rate=rate, canary=canary, limit=limit), total, fails=fails).run()
    assert play.why is not None
    assert 0 < play.pacer.released <= total
    if not play.why:
        assert play.pacer.released == total


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", 10.0), ("600/min", 10.0), ("0.5 / sec", 0.5), ("36/h", 0.01), ("5/M", 5 / 60)],
)
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "10/ms", "1e3/s", "9" * 99, "٣/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is no rate"):
        parse_rate(text)


def test_shares_are_read() -> None:
    assert parse_share("20%") == 0.2
    assert parse_share(" 0.5 % ") == 0.005
    for text in ("", "20", "101%", "-1%", "%", "9" * 99):
        with pytest.raises(OptionError, match="is no share"):
            parse_share(text)
