"""What type checkers make of `jobq.testing`."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, assert_type

from jobq import JobQ, testing
from jobq.client.rows import LetterRow
from jobq.testing import Call, ManualClock, Ran, Session

app = JobQ()


@app.job(name="typed.testing")
def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


def with_fixture(jobq: Session) -> None:
    assert_type(jobq.run_all("mail", raising=True), list[Ran])
    assert_type(jobq.travel("2h", run=True), list[Ran])
    assert_type(jobq.now(), datetime)
    assert_type(jobq.assert_enqueued(greet, "ada", loud=True, count=1), list[Call])
    assert_type(jobq.enqueued("typed.testing"), list[Call])
    assert_type(jobq.dead_letters, list[LetterRow])
    assert_type(jobq.clock, ManualClock)
    with jobq.inline():
        assert_type(greet.delay("ada").result(), str)


async def in_a_coroutine(jobq: Session) -> None:
    assert_type(await jobq.arun_all(), list[Ran])
    assert_type(await jobq.atravel("1d"), list[Ran])


def without_pytest() -> None:
    with testing.session(app, inline=True) as test:
        assert_type(test, Session)


if TYPE_CHECKING:
    assert_type(Session("").use(app), JobQ)

    def parts(ran: Ran, call: Call) -> tuple[tuple[object, ...], Mapping[str, object]]:
        return ran.args, call.kwargs


def test_it_is_importable() -> None:
    assert set(testing.__all__) <= vars(testing).keys()
