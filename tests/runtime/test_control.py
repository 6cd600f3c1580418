"""Commands to a supervisor, and what it tells its workers because of them."""

import signal
from collections.abc import Callable

import pytest

from jobq.core.job import JobState
from jobq.errors import StoreError
from jobq.runtime.board import CANCEL, LOST, Board, note_name
from jobq.runtime.children import Child, End, Key
from jobq.runtime.control import REMEMBERED, Control, tell_lost
from jobq.runtime.hello import Hello
from jobq.runtime.recovery import Cancelled, Crashed, TimedOut
from jobq.store.ops.control import Command
from jobq.store.ops.inspect import Seen
from tests.support.standing import Time

HELLO = Hello(url="", safe_url="", app="", queues=("a", "b"), jobs=(), lease=30.0)
GRACE = 5.0


class Recorder(Child):
    """A worker that nobody started; signals to it are written down."""

    __slots__ = ("signals",)

    def __init__(self) -> None:
        super().__init__(1, 0, "w#0", Board(), isolated=False, born=0.0, reader=-1, hello=HELLO)
        self.signals: list[str] = []

    def signal(self, number: int) -> None:
        self.signals.append(signal.Signals(number).name)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def control(clock: Time) -> Control:
    made = Control("me", GRACE, clock)
    made.begin_after("5-0")
    return made


@pytest.fixture
def child() -> Recorder:
    return Recorder()


Say = Callable[..., None]


@pytest.fixture
def say(control: Control) -> Say:
    """Send commands; entries count up by themselves."""
    entries = iter(range(6, 1000))

    def send(*commands: Command) -> None:
        control.read([[(f"{next(entries)}-0", one) for one in commands]])

    return send


def cancel(where: str = "j7-0", queue: str = "b", job_id: str = "id") -> Command:
    return Command("cancel", job_id, queue, where)


def test_nothing_is_read_before_the_beginning_is_known(clock: Time) -> None:
    control = Control("me", GRACE, clock)
    assert control.ops() == []
    control.read([])
    control.begin_after("70000-3")
    (op,) = control.ops()
    assert "(60000-0" in op.words


def test_of_the_time_before_only_cancels_count(control: Control, child: Recorder) -> None:
    child.board.hold([b"7-0"], 1, "j")
    control.read([[("4-0", cancel()), ("5-0", Command("stop", "me"))]])
    assert control.orders == []
    control.act([child])
    assert child.signals == ["SIGUSR1"]


def test_a_stream_that_was_lost_is_read_from_its_start(control: Control, say: Say) -> None:
    say(Command("stop", "somebody"))
    control.begin_after("6-0")
    assert "(6-0" in control.ops()[0].words
    control.begin_after("4-0")
    assert "(0-0" in control.ops()[0].words


def test_what_was_said_long_ago_is_not_said_again_when_the_newest_are_lost(
    control: Control, say: Say
) -> None:
    """After a failover, say: somebody of our name was told to stop yesterday."""
    control.read([[("90000001-0", Command("cancel", "id", "b", "j7-0"))]])
    control.begin_after("90000000-0")
    assert "(89990000-0" in control.ops()[0].words
    control.read([[("89990000-0", Command("stop", "me")), ("90000002-0", Command("drain", "me"))]])
    assert control.orders == ["drain"]


def test_orders_are_for_the_one_that_is_named(control: Control, say: Say) -> None:
    say(Command("drain", "me"), Command("stop", "other"), Command("dance", "me"), Command("", ""))
    say(Command("stop-now", "me"))
    assert control.orders == ["drain", "stop-now"]


def test_an_answer_that_is_an_error_changes_nothing(control: Control) -> None:
    control.read([StoreError("WRONGTYPE", code="WRONGTYPE")])
    assert "(0-0" in control.ops()[0].words


def test_a_running_job_is_noted_once_and_killed_when_it_ignores_that(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    child.board.hold([b"7-0"], 0, "r")  # of the other queue: not meant
    child.board.hold([b"7-0"], 1, "j")  # of another stream of this one
    (place,) = child.board.hold([b"7-0"], 1, "r")
    child.board.started(place)
    say(cancel("r7-0"))
    control.act([child])
    control.act([child])
    assert child.signals == ["SIGUSR1"]
    assert child.board.notes() == [(CANCEL, note_name(b"7-0", 1, "r"))]
    clock.now += GRACE + 0.1
    control.act([child])
    control.act([child])
    assert child.signals == ["SIGUSR1", "SIGKILL"]
    assert child.fates(End(-9, 0)) == {Key("b", True, "7-0"): Cancelled()}


def test_one_that_ends_is_forgotten(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    (place,) = child.board.hold([b"7-0"], 1, "j")
    child.board.started(place)
    say(cancel())
    control.act([child])
    child.board.drop([place])
    control.act([child])
    (place,) = child.board.hold([b"7-0"], 1, "j")
    child.board.started(place)
    clock.now += GRACE + 1
    control.act([child])
    assert child.signals == ["SIGUSR1"]


def test_one_that_had_not_been_started_is_told_again(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    (place,) = child.board.hold([b"7-0"], 1, "j")
    say(cancel())
    control.act([child])
    clock.now += GRACE + 1
    control.act([child])
    assert child.signals == ["SIGUSR1"], "what does not run is not killed for"
    child.board.notes()
    child.board.started(place)
    control.act([child])
    control.act([child])
    assert child.signals == ["SIGUSR1"] * 2
    clock.now += GRACE + 1
    control.act([child])
    assert child.signals[-1] == "SIGKILL"


def test_a_full_mailbox_is_tried_again(control: Control, child: Recorder, say: Say) -> None:
    (place,) = child.board.hold([b"7-0"], 1, "j")
    child.board.started(place)
    child.board.leave_notes([(LOST, b"0j1-0")])
    say(cancel())
    control.act([child])
    assert child.board.notes() == [(LOST, b"0j1-0")]
    control.act([child])
    assert child.board.notes() == [(CANCEL, b"1j7-0")]


def test_one_that_cannot_be_told_is_killed_too(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    """The main thread of its worker is in C for ever, and has not read its last notes."""
    (place,) = child.board.hold([b"7-0"], 1, "j")
    child.board.leave_notes([(LOST, b"0j1-0")])
    say(cancel())
    control.act([child])
    clock.now += GRACE + 0.1
    control.act([child])
    assert "SIGKILL" not in child.signals, "what does not run is not killed for"
    child.board.started(place)
    control.act([child])
    assert "SIGKILL" not in child.signals, "it has just been started"
    clock.now += GRACE + 0.1
    control.act([child])
    assert child.signals[-1] == "SIGKILL"


def test_asking_again_gives_no_more_time(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    (place,) = child.board.hold([b"7-0"], 1, "j")
    child.board.started(place)
    say(cancel())
    control.act([child])
    clock.now += GRACE - 1
    child.board.notes()
    say(cancel())
    control.act([child])
    assert child.signals == ["SIGUSR1"]
    clock.now += 1.1
    control.act([child])
    assert child.signals[-1] == "SIGKILL"


def test_a_job_that_arrives_a_little_later_is_found(
    control: Control, clock: Time, child: Recorder, say: Say
) -> None:
    say(cancel())
    control.act([child])
    clock.now += REMEMBERED / 2
    child.board.hold([b"7-0"], 1, "j")
    control.act([child])
    assert child.signals == ["SIGUSR1"]
    say(cancel("j8-0", job_id="another"))
    clock.now += REMEMBERED + 1
    control.act([child])
    child.board.hold([b"8-0"], 1, "j")
    control.act([child])
    assert child.signals == ["SIGUSR1"], "but not for ever"


def test_an_entry_that_is_not_known_is_looked_up(
    control: Control, child: Recorder, say: Say
) -> None:
    child.board.hold([b"7-0"], 1, "j")
    say(cancel(""), cancel("", job_id="done"))
    assert len(control.ops()) == 3
    control.read([[], Seen(JobState.RUNNING, where="j7-0"), Seen(None)])
    assert len(control.ops()) == 1
    control.act([child])
    assert child.board.notes() == [(CANCEL, b"1j7-0")]


def test_lost_leases_are_told_once(child: Recorder) -> None:
    first, second = child.board.hold([b"7-0", b"8-0"], 1, "j")
    child.board.started(first)
    lost = [Key("b", False, "7-0"), Key("b", False, "8-0"), Key("a", False, "7-0")]
    tell_lost(child, lost)
    tell_lost(child, lost)
    assert child.board.notes() == [(LOST, b"1j7-0")], "what is not running loses nothing"
    assert child.signals == ["SIGUSR1"]
    child.board.drop([first, second])
    tell_lost(child, lost)
    assert child.marks == {}


def test_what_becomes_of_the_jobs_of_a_dead_worker(child: Recorder) -> None:
    late, beside, _ = child.board.hold([b"1-0", b"2-0", b"3-0"], 0, "j")
    child.board.started(late)
    child.board.started(beside)
    died = child.fates(End(-11, 512_000_000))
    how = "killed by SIGSEGV, 512 MB resident at most"
    assert died == {Key("a", False, f"{n}-0"): Crashed(how) for n in (1, 2)}
    assert child.fates(End(1, 0), charged=False) == {}
    child.doom([Key("a", False, "1-0")], "timeout")
    killed = child.fates(End(-9, 1_000_000))
    timed_out = TimedOut("killed by SIGKILL, 1 MB resident at most")
    assert killed == {Key("a", False, "1-0"): timed_out}, "what ran beside it is released"
    assert child.fates(End(3, 0))[Key("a", False, "2-0")] == Crashed(
        "exit code 3, 0 MB resident at most"
    ), "it died by itself before it could be killed"


def test_one_that_never_said_hello_holds_nothing(child: Recorder) -> None:
    child.board.hold([b"1-0"], 0, "j")
    child.hello = None
    assert list(child.holds()) == []
