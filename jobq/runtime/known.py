"""The schedules of the queues that a supervisor reads, as it last saw them in Redis."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from jobq.core.clock import Clock
from jobq.core.lines import queue_of
from jobq.core.numbers import ms_of
from jobq.core.timetable import Rule
from jobq.errors import CallUnreadable
from jobq.runtime.steps import Steps
from jobq.store.ops import schedules
from jobq.store.ops.schedules import Page, Standing

log = logging.getLogger("jobq.supervisor")

#: Seconds between looks at whether schedules have changed: what a program adds is seen then.
LOOK: Final = 0.5

#: Seconds after which all are read again, changed or not.
READ_AGAIN: Final = 10.0


@dataclass(slots=True, eq=False)
class Known:
    """A schedule.

    Attributes:
        rule: what it is.
        revision: stands for all that it is.
        tick: nominal time of its next tick, ms, as Redis has it.
        fires_ms: when that fires; None: it does not: it is paused.
        waiting: ticks that wait for the job of the tick before.
        owner: the app that declares it; empty: a program added it.
        seen_ms: when that has last declared it.
        busy: its tick is on the way.
        rests_until: monotonic seconds before which it is left alone.
        blocked: it cannot tick from here until it changes.
        watch: there may be past ticks whose outcome is not noted.
        unsigned: its call, as it was last read, is not signed, and was taken all the same.
    """

    rule: Rule
    revision: str
    tick: str
    fires_ms: float | None
    waiting: int
    owner: str
    seen_ms: int
    busy: bool = False
    rests_until: float = 0.0
    blocked: bool = False
    watch: bool = True
    unsigned: bool = False

    @property
    def name(self) -> str:
        """The name of the schedule."""
        return self.rule.name

    @property
    def queue(self) -> str:
        """The queue of its jobs."""
        return queue_of(self.rule.line)

    def take(self, row: Standing) -> None:
        """Take in how it stands now."""
        self.tick, self.fires_ms, self.waiting = row.tick, row.fires_ms, row.waiting
        self.owner, self.seen_ms = row.owner, row.seen_ms


@dataclass(slots=True)
class _Line:
    """The schedules of one queue."""

    changes: str | None = None
    look_at: float = 0.0
    read_at: float = 0.0
    busy: bool = False
    known: dict[str, Known] = field(default_factory=dict)


class Timetable:
    """Knows the schedules of queues, and keeps up with what becomes of them in Redis.

    Args:
        steps: what it asks.
        clock: monotonic.
    """

    def __init__(self, steps: Steps, clock: Clock) -> None:
        self._steps = steps
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._bad: set[tuple[str, str, bytes, str]] = set()

    def __iter__(self) -> Iterator[Known]:
        for line in self._lines.values():
            yield from line.known.values()

    def get(self, queue: str, name: str) -> Known | None:
        """Return a schedule; None: it is not known."""
        line = self._lines.get(queue)
        return None if line is None else line.known.get(name)

    def keep_up(self, queues: tuple[str, ...]) -> None:
        """Add the steps that are due."""
        now = self._clock.monotonic()
        for gone in self._lines.keys() - set(queues):
            del self._lines[gone]
        for queue in queues:
            line = self._lines.setdefault(queue, _Line())
            if line.busy or now < line.look_at:
                continue
            line.look_at = now + LOOK
            line.busy = True
            if line.changes is None or now >= line.read_at:
                self._read(queue, line)
            else:
                self._steps.add(schedules.changes(queue), self._changed(queue, line), _free(line))

    def read_again(self, queue: str) -> None:
        """Read the schedules of a queue as soon as possible: they are not as they were thought."""
        if (line := self._lines.get(queue)) is not None:
            line.changes, line.look_at = None, 0.0

    def _changed(self, queue: str, line: _Line) -> Callable[[str], None]:
        def read(changes: str) -> None:
            line.busy = False
            if changes != line.changes:
                self.read_again(queue)

        return read

    def _read(self, queue: str, line: _Line) -> None:
        line.read_at = self._clock.monotonic() + READ_AGAIN
        found: dict[str, Known] = {}
        first: list[str] = []

        def read(page: Page) -> None:
            first.append(page.changes)
            found.update(self._known(queue, line, page))
            if page.more:
                start = schedules.PAGE * len(first)
                self._steps.add(schedules.page(queue, start), read, _free(line))
                return
            line.busy = False
            line.changes = first[0]
            missed = line.known.keys() - found.keys()
            if len(first) == 1:
                line.known = found
                return
            # Their order changes with each tick: some may have slipped from page to page.
            line.known |= found
            for name in missed:
                self._look_at(queue, line, name)

        self._steps.add(schedules.page(queue), read, _free(line))

    def _look_at(self, queue: str, line: _Line, name: str) -> None:
        def read(page: Page) -> None:
            found = self._known(queue, line, page)
            if name in found:
                line.known[name] = found[name]
            else:
                line.known.pop(name, None)

        self._steps.add(schedules.one(queue, name), read)

    def _known(self, queue: str, line: _Line, page: Page) -> dict[str, Known]:
        found: dict[str, Known] = {}
        for row in page.rows:
            before = line.known.get(row.name)
            if before is not None and before.revision == row.revision:
                if not before.busy:
                    before.take(row)
                if not row.problem:  # it may have been put right
                    before.blocked = False
                found[row.name] = before
            elif (rule := self._rule(queue, row)) is not None:
                found[row.name] = Known(
                    rule,
                    row.revision,
                    row.tick,
                    row.fires_ms,
                    row.waiting,
                    row.owner,
                    row.seen_ms,
                )
        return found

    def _rule(self, queue: str, row: Standing) -> Rule | None:
        bad = queue, row.name, row.definition, row.tick
        if bad in self._bad:
            return None
        try:
            rule = Rule.decode(row.definition)
            if rule.name != row.name or queue_of(rule.line) != queue or ms_of(row.tick) is None:
                raise CallUnreadable("it is not what its place says")  # noqa: TRY301
        except CallUnreadable as error:
            self._bad.add(bad)
            log.error(  # noqa: TRY400
                "left out schedule schedule=%s queue=%s error=%s "
                "fix='add it again, or: jobq schedule remove'",
                row.name,
                queue,
                error,
            )
            return None
        return rule


def _free(line: _Line) -> Callable[[], None]:
    def refused() -> None:
        line.busy = False

    return refused
