"""New workers for old ones: whose turn it is, and who is too big."""

import os
from itertools import count

import pytest

from jobq.runtime import replacing
from jobq.runtime.board import Board
from jobq.runtime.children import Child
from jobq.runtime.hello import Hello
from jobq.runtime.memory import resident
from jobq.runtime.replacing import IMPORT, WEIGH, Rolling, Scales
from tests.support.standing import Time

HELLO = Hello(url="", safe_url="", app="", queues=("a",), jobs=(), lease=30.0)


class Stage:
    """Workers that nobody started; signals to them are written down."""

    def __init__(self, slots: int) -> None:
        self.clock = Time()
        self.pids = count(1)
        self.living: list[Child] = []
        self.signals: list[tuple[int, int]] = []
        for slot in range(slots):
            self.start(slot).hello = HELLO
        self.rolling = Rolling(self.start, self.clock)

    def start(self, slot: int, *, isolated: bool = False) -> Child:
        stage = self

        class Recorder(Child):
            __slots__ = ()

            def signal(self, number: int) -> None:
                stage.signals.append((self.pid, number))

        now = self.clock.now
        child = Recorder(
            next(self.pids), slot, "w", Board(), isolated=isolated, born=now, reader=-1
        )
        self.living.append(child)
        return child

    def step(self) -> None:
        self.rolling.step(self.living)

    @property
    def leaving(self) -> list[int]:
        return [child.pid for child in self.living if child.leaving]


def test_one_slot_after_the_other() -> None:
    stage = Stage(2)
    alone = stage.start(7, isolated=True)
    stage.rolling.begin()
    stage.step()
    stage.step()
    assert [child.slot for child in stage.living] == [0, 1, 7, 0], "one is on its way"
    assert stage.leaving == []
    stage.rolling.arrived(stage.living[-1])
    assert stage.leaving == [1]
    stage.step()
    assert stage.living[-1].slot == 1
    stage.rolling.arrived(stage.living[-1])
    assert stage.leaving == [1, 2, alone.pid]
    assert not stage.rolling.active
    stage.step()
    assert len(stage.living) == 5


def test_one_that_died_meanwhile_is_passed_over() -> None:
    stage = Stage(2)
    stage.rolling.begin()
    stage.step()
    stage.rolling.arrived(stage.living[-1])
    del stage.living[1]
    stage.step()
    assert not stage.rolling.active
    assert len(stage.living) == 2


def test_one_that_died_while_its_successor_started_gets_no_signal() -> None:
    """Its process id may be that of somebody else by now."""
    stage = Stage(1)
    alone = stage.start(7, isolated=True)
    old = stage.living[0]
    stage.rolling.begin()
    stage.step()
    newcomer = stage.living[-1]
    stage.living[:] = [newcomer]
    stage.step()
    stage.rolling.arrived(newcomer)
    assert not stage.rolling.active
    assert not old.leaving
    assert not alone.leaving
    assert stage.signals == []


def test_new_code_that_fails_ends_it() -> None:
    stage = Stage(2)
    stage.rolling.begin()
    stage.step()
    newcomer = stage.living.pop()
    assert not stage.rolling.failed(stage.living[0])
    assert stage.rolling.failed(newcomer)
    assert not stage.rolling.active
    stage.step()
    assert len(stage.living) == 2
    assert stage.leaving == []


def test_code_that_was_mended_while_it_failed_is_tried() -> None:
    stage = Stage(1)
    stage.rolling.begin()
    stage.step()
    stage.rolling.begin()
    assert stage.rolling.failed(stage.living.pop())
    assert stage.rolling.active
    stage.step()
    stage.rolling.arrived(stage.living[-1])
    assert stage.leaving == [1]
    assert not stage.rolling.active


def test_new_code_that_never_arrives_is_killed() -> None:
    stage = Stage(1)
    stage.rolling.begin()
    stage.step()
    stage.clock.now += IMPORT + 1
    stage.step()
    assert stage.signals == [(2, 9)]


def test_a_second_one_follows_the_first() -> None:
    stage = Stage(1)
    stage.rolling.begin()
    stage.step()
    stage.rolling.begin()
    stage.step()
    stage.rolling.arrived(stage.living[-1])
    stage.step()
    assert [child.pid for child in stage.living] == [1, 2, 3]
    stage.rolling.arrived(stage.living[-1])
    assert stage.leaving == [1, 2]


def test_who_is_too_big(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(3)
    sizes = {1: 50, 2: 200, 3: 300}
    monkeypatch.setattr(replacing, "resident", sizes.__getitem__)
    scales = Scales(100, stage.clock)
    assert [child.pid for child in scales.heavy(stage.living)] == [2, 3]
    assert scales.heavy(stage.living) == [], "not again so soon"
    stage.clock.now += WEIGH
    stage.living[1].leave()
    successor = stage.start(1)
    successor.hello = HELLO
    assert [child.pid for child in scales.heavy(stage.living)] == [3]
    assert Scales(None, stage.clock).heavy(stage.living) == []


def test_the_memory_of_a_process() -> None:
    assert 5_000_000 < resident(os.getpid()) < 5_000_000_000
    assert resident(2**22 + 1) == 0
