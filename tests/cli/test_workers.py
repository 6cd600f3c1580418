"""`jobq workers drain` and `jobq workers stop`: what is told to workers, and what came of it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from jobq.store.ops import control, upkeep
from jobq.store.ops.control import Command
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run
from tests.support.server import Server
from tests.support.wait import wait_until

#: What a worker does when it is told something; None: it leaves.
Answers = dict[str, str | None]


class Crew:
    """Workers in the register that do as they are told.

    Args:
        undertaker: says for them what they do.
        answers: by name, the state after a command.
    """

    def __init__(self, undertaker: Undertaker, answers: Answers) -> None:
        self.told: list[Command] = []
        self._undertaker = undertaker
        self._answers = answers
        self._after = "0-0"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._obey)
        for name in answers:
            undertaker.say(name, "running")
        self._thread.start()

    def end(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(20)

    def _obey(self) -> None:
        wait_until(self._look, "the test has ended", 60.0)

    def _look(self) -> bool:
        for entry, command in self._undertaker.store.run(control.read(self._after)):
            self._after = entry
            state = self._answers[command.target]
            if state is None:
                self._undertaker.store.run(upkeep.leave(command.target))
            else:
                self._undertaker.say(command.target, state)
            self.told.append(command)
        return self._ended.is_set()


@pytest.fixture
def crew(undertaker: Undertaker) -> Iterator[Callable[[Answers], Crew]]:
    """Start workers that do as they are told."""
    started: list[Crew] = []

    def start(answers: Answers) -> Crew:
        started.append(Crew(undertaker, answers))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_drain(run: Run, crew: Callable[[Answers], Crew]) -> None:
    obedient = crew({"a": "draining", "b": "drained", "c": None, "other": "running"})
    ran = run("workers", "drain", "a", "b", "c")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "a is draining: it finishes what it runs and takes nothing new.",
        "b is drained: it runs nothing and takes nothing new, until it is stopped.",
        "c has stopped.",
    ]
    assert obedient.told == [Command("drain", name) for name in "abc"]


@pytest.mark.parametrize("now", [False, True])
def test_stop(run: Run, crew: Callable[[Answers], Crew], now: bool) -> None:
    obedient = crew({"a": None if now else "stopping", "b": None})
    ran = run("workers", "stop", "--all", "--yes", *["--now"] * now)
    said = "has stopped" if now else "is stopping: it finishes what it runs, within its grace"
    assert (ran.code, ran.out) == (0, f"a {said}.\nb has stopped.\n")
    assert obedient.told == [Command("stop-now" if now else "stop", name) for name in "ab"]


def test_a_worker_that_does_not_answer(
    run: Run, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobq.cli.workers._PATIENCE", 0.05)
    undertaker.say("a\x1b[2J", "running")
    for words in (["drain"], ["stop"], ["stop", "--now"]):
        ran = run("workers", *words, "a\x1b[2J")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == (
            "jobq: a was told, and is running after 0.05 s as before\n"
            "fix: jobq workers shows when it was last seen\n"
        )


def test_a_name_that_nobody_has(
    run: Run, crew: Callable[[Answers], Crew], undertaker: Undertaker, server: Server
) -> None:
    ran = run("workers", "stop", "z")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "jobq: no worker z\nfix: no worker is alive; start one: jobq worker\n"
    obedient = crew({"a": "stopping", "b": "running"})
    server.cli("HSET", "jobq:workers", "silent", "1000 record")
    ran = run("workers", "stop", "z")
    assert (ran.code, ran.err) == (3, "jobq: no worker z\nfix: alive are a, b\n")
    assert obedient.told == []
    ran = run("workers", "stop", "z", "a", "y", "a")
    assert ran.code == 3
    assert ran.out.startswith("a is stopping")
    assert ran.err == "jobq: no worker z or y\nfix: alive are a, b\n"
    assert obedient.told == [Command("stop", "a")]


def test_all_of_none(run: Run, redis_url: str) -> None:
    ran = run("workers", "drain", "--all", "--yes")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "jobq: no workers\nfix: no worker is alive; start one: jobq worker\n"


def test_all_needs_a_yes(
    run: Run, crew: Callable[[Answers], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    obedient = crew({"a": "drained", "b": "drained"})
    ran = run("workers", "drain", "--all")
    assert (ran.code, ran.out) == (2, "")
    assert "Drain 2 workers: a, b? Nobody is there to ask: add --yes to do it." in ran.err
    monkeypatch.setattr("jobq.cli.workers.confirm", lambda *_, **__: False)
    ran = run("workers", "stop", "--all")
    assert (ran.code, ran.err) == (1, "Nothing was changed.\n")
    assert obedient.told == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["drain"], "say which: one NAME or more, or --all"),
        (["stop", "a", "--all"], "say which: one NAME or more, or --all"),
        (["--json", "drain", "a"], "--json is for the list of workers"),
        (["drains", "a"], "No such command 'drains'"),
    ],
)
def test_usage(run: Run, redis_url: str, words: list[str], problem: str) -> None:
    ran = run("workers", *words)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err


def test_where_redis_is_may_stand_before_the_verb(
    run: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBQ_REDIS_URL", "redis://127.0.0.1:1")
    assert run("workers", "drain", "a").code == 4
    for words in (
        ["--url", redis_url, "workers", "drain", "a"],
        ["workers", "--url", redis_url, "drain", "a"],
        ["workers", "drain", "a", "--url", redis_url],
    ):
        assert run(*words).code == 3
