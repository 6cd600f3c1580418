"""Whole stories, cut before and after each of their commands: no job is lost, none is doubled."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from jobq.store.ops import enqueue, manage, settle, upkeep
from jobq.store.ops.settle import Attempt
from tests.store.conftest import carrier
from tests.store.line import Line, problems, waiting
from tests.support.proxy import Proxy
from tests.support.server import Server

Story = Callable[[Line], None]

#: The final numbers of a story: ready, running, retrying, dead; succeeded and cancelled in all.
Numbers = tuple[int, int, int, int, int, int]


def work(line: Line) -> None:
    """Three jobs succeed; a fourth is never taken."""
    line.add("a", "b", "c")
    attempts = taken(line, line.jobs, lambda: line.read(3))
    line.settle(attempts, ttl=60_000)
    line.add("d")


def fail(line: Line) -> None:
    """One job fails twice and succeeds, another is given back and stays."""
    line.add("a", "b")
    for attempt in taken(line, line.jobs, lambda: line.read(2)):
        if attempt.job_id == b"a":
            line.fail(attempt)
        else:
            line.release(attempt, delay=3600.0)
    for attempt in taken(line, line.retries, lambda: line.claim(5)):
        line.fail(attempt)
    for attempt in taken(line, line.retries, lambda: line.claim(5)):
        line.finish(attempt, ttl=60_000)


def die(line: Line) -> None:
    """Two jobs die; one is revived and dies again, and is purged."""
    line.add("a", "b")
    for attempt in taken(line, line.jobs, lambda: line.read(2)):
        line.bury(attempt)
    line.revive("a", line.letters()["a"])
    for attempt in taken(line, line.jobs, lambda: line.read(2)):
        line.fail(attempt)
    for attempt in taken(line, line.retries, lambda: line.claim(2)):
        line.bury(attempt)
    line.run(manage.purge(line.name, "a", line.letters()["a"]))


def cancel(line: Line) -> None:
    """A new job and a retry are cancelled, a job with an id of its own is not."""
    line.add("a")
    for attempt in taken(line, line.jobs, lambda: line.read(1)):
        line.fail(attempt, delay=3600.0)
    line.add("b")
    line.cancel("a")
    line.cancel("b")
    assert line.run(enqueue.enqueue_unique(line.name, "c", b"call"))
    assert not line.run(enqueue.enqueue_unique(line.name, "c", b"call"))


def interrupt(line: Line) -> None:
    """Three jobs are cancelled while they run: one is interrupted, one fails, one succeeds."""
    line.add("a", "b", "c")
    for attempt in taken(line, line.jobs, lambda: line.read(3)):
        line.fail(attempt)
    for attempt in taken(line, line.retries, lambda: line.claim(5)):
        line.cancel(attempt.job_id.decode())
        if attempt.job_id == b"a":
            line.run(settle.cancelled(attempt))
        elif attempt.job_id == b"b":
            line.fail(attempt)
        else:
            line.finish(attempt)
    assert line.claim(5) == []


def taken(line: Line, stream: str, take: Callable[[], list[Attempt]]) -> list[Attempt]:
    """Take jobs; return also those that were taken by a first try, whose answer was lost."""
    take()
    return line.mine(stream)


STORIES: dict[str, tuple[Story, Numbers]] = {
    "work": (work, (1, 0, 0, 0, 3, 0)),
    "fail": (fail, (0, 0, 1, 0, 1, 0)),
    "die": (die, (0, 0, 0, 1, 0, 0)),
    "cancel": (cancel, (1, 0, 0, 0, 0, 2)),
    "interrupt": (interrupt, (0, 0, 0, 0, 1, 2)),
}


@pytest.fixture(params=["store", "async-store"])
def far(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Any]:
    """Carries ops through the proxy."""
    with carrier(request.param, proxy.url) as run:
        yield run


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("forgets", [False, True], ids=["", "forgets"])
def test_cut_at_each_command(
    far: Any,
    proxy: Proxy,
    server: Server,
    name: str,
    when: Literal["before", "after"],
    forgets: bool,
) -> None:
    story, numbers = STORIES[name]
    cut = {"before": proxy.cut_before_request, "after": proxy.cut_after_request}[when]
    cuts = 0
    while True:
        line = Line(far, f"{name}{cuts}")
        if forgets:
            server.cli("SCRIPT", "FLUSH")
        fault = cut(skip=cuts)
        line.run(upkeep.regroup(line.name))
        story(line)
        if not fault.command:  # set before it reaches the server, so before the story can end
            break
        _check(line, server, numbers, f"cut {when} command {cuts}: {fault.command[:2]!r}")
        cuts += 1
    proxy._faults.clear()
    _check(line, server, numbers, "uncut")
    assert cuts >= 6


def _check(line: Line, server: Server, numbers: Numbers, what: str) -> None:
    assert problems(server, line.name) == [], what
    seen = line.count()
    totals = seen.totals
    found = (seen.ready, seen.running, seen.retrying, seen.dead)
    assert (*found, totals["succeeded"], totals["cancelled"]) == numbers, what


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_enqueue_that_is_cut_again_and_again(
    far: Any, proxy: Proxy, server: Server, when: str
) -> None:
    line = Line(far).open()
    cut = {"before": proxy.cut_before_request, "after": proxy.cut_after_request}[when]
    names = [f"job{number}" for number in range(6)]
    for number, name in enumerate(names):
        faults = [cut(word) for word in ["EVALSHA", *["EVAL"] * (number % 3)]]
        line.add(name)
        for fault in faults:
            fault.wait()
    assert waiting(server) == names
