"""The way into a job that runs in a thread: what is raised there comes in it, or never."""

import threading
from collections.abc import Callable

from jobq.errors import JobInterrupted, JobTimedOut
from jobq.runtime.delivery import Delivery
from jobq.runtime.executors.gate import Gate, timed_out

#: Long enough for whatever is raised in a thread to come.
TURNS = 50


def spin(turns: int) -> None:
    for _ in range(turns):
        str(turns)


def make() -> Gate:
    return Gate(Delivery(("default", b"1-0", [], 0, None, 0)), 0.0)


def in_thread(body: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_it_comes_once() -> None:
    seen: list[str] = []

    def body() -> None:
        gate = make()
        opened.append(gate)
        ready.set()
        try:
            while True:
                spin(TURNS)
        except JobInterrupted:
            seen.append("interrupted")
        asked.wait(10)
        spin(TURNS)
        gate.close()
        seen.append("ended")

    def interrupt() -> None:
        assert ready.wait(10)
        assert opened[0].interrupt(JobInterrupted)
        assert not opened[0].interrupt(JobInterrupted), "once is all"
        asked.set()

    opened: list[Gate] = []
    ready, asked = threading.Event(), threading.Event()
    other = threading.Thread(target=interrupt)
    other.start()
    in_thread(body)
    other.join()
    assert seen == ["interrupted", "ended"]


def test_what_is_closed_stays_closed() -> None:
    def body() -> None:
        gate = make()
        gate.close()
        other = threading.Thread(target=lambda: found.append(gate.interrupt(JobInterrupted)))
        other.start()
        other.join()
        spin(TURNS)

    found: list[bool] = []
    in_thread(body)
    assert found == [False]


def test_what_is_raised_can_be_made_without_arguments() -> None:
    error = timed_out(1.5)()  # type: ignore[call-arg]
    assert isinstance(error, JobTimedOut)
    assert isinstance(error, TimeoutError)
    assert str(error) == str(JobTimedOut(1.5))
    assert error.seconds == 1.5
    assert (type(error).__module__, type(error).__qualname__) == ("jobq.errors", "JobTimedOut")
