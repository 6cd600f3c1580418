"""The thread that calls hooks: whoever waits for it waits until all were called."""

import threading

import pytest

from jobq.core.clock import SystemClock
from jobq.core.hooks import Failed, Hooks
from jobq.runtime.hooks import Informer
from jobq.store.connection import Connection

FAILED = Failed("id", "mail.send", "mail", 1, 1, "KeyError", "ada", "")


def test_what_is_heard_in_the_last_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks, gate, called = Hooks(), threading.Event(), list[str]()

    def slow(failed: Failed) -> None:
        gate.wait(0.3)
        called.append(failed.id)

    def connect() -> Connection:
        raise AssertionError("nothing is dead")

    hooks.on_failure.append(slow)
    informer = Informer(hooks, (), connect, SystemClock())
    late = threading.Thread(target=informer.hear, args=(FAILED, True))
    idle = informer._idle
    say = idle.set

    def hear_just_before() -> None:
        if late.ident is None:
            late.start()
            late.join(0.1)
        say()

    monkeypatch.setattr(idle, "set", hear_just_before)
    informer.start()
    informer.flush(5.0)
    late.join()
    informer.flush(5.0)
    assert called == ["id"]
    informer.stop()
