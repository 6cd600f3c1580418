"""Schedules that the code declares: told to Redis again and again, and removed once it does not."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from jobq.core.clock import Clock
from jobq.core.lines import queue_of
from jobq.core.numbers import ms_of
from jobq.core.timetable import Rule, next_tick
from jobq.runtime.declared import Declared
from jobq.runtime.known import Timetable
from jobq.runtime.steps import Steps
from jobq.store.ops import enqueue, inspect, schedules
from jobq.store.ops.schedules import Page

log = logging.getLogger("jobq.supervisor")

#: Seconds between two times that the schedules of the code are told to Redis.
DECLARE: Final = 10.0

#: Seconds after which a declaration that Redis refused is repeated.
REFUSED: Final = 1.0

#: Seconds for which a schedule that vanished from the code is kept: in a rolling deploy old and new
#: code take turns, and a deploy that is taken back must find its schedules with their past.
GRACE: Final = 300.0


class Declarer:
    """Tells Redis what schedules the code declares, and removes those that vanished from it.

    Args:
        steps: what it asks.
        table: the schedules of the queues that are read here.
        now_ms: Redis time.
        clock: monotonic.
        grace: seconds for which a schedule is kept that its app no longer declares.
    """

    def __init__(
        self,
        steps: Steps,
        table: Timetable,
        now_ms: Callable[[], float],
        clock: Clock,
        grace: float = GRACE,
    ) -> None:
        self._steps = steps
        self._table = table
        self._now_ms = now_ms
        self._clock = clock
        self._grace = grace
        self._owner = ""
        self._rules: dict[tuple[str, str], tuple[Rule, bytes]] = {}
        #: Since when this code is known, Redis time in ms; 0: from the next round on.
        self._since = 0
        self._declare_at = 0.0
        self._search_at = 0.0
        self._told: set[tuple[str, str, str]] = set()

    def met(self, declared: Declared) -> None:
        """Take in what the app declares, as its newest worker has found it."""
        every = [(Rule.decode(definition), call) for definition, call in declared.rows()]
        self._rules = {(queue_of(rule.line), rule.name): (rule, call) for rule, call in every}
        self._owner = declared.owner
        self._since = 0
        self._declare_at = 0.0

    def declare(self, queues: Sequence[str]) -> None:
        """Add the steps that are due.

        Args:
            queues: those that are read here.
        """
        now = self._clock.monotonic()
        if not self._owner or now < self._declare_at:
            return
        self._declare_at = now + DECLARE
        is_new = not self._since
        if is_new:
            self._since = int(self._now_ms())
            self._search_at = now + self._grace
        for queue in {queue for queue, _ in self._rules} - set(queues):
            self._steps.add(enqueue.register_queue(queue), lambda _: None)
        for rule, call in self._rules.values():
            self._put(rule, call)
        if is_new and self._rules:
            self._steps.add(inspect.queues(), self._look_for_moved)
        if now >= self._search_at:
            self._search_at = now + max(DECLARE, self._grace / 10)
            self._steps.add(inspect.queues(), lambda every: self._search(queues, every))

    def _put(self, rule: Rule, call: bytes) -> None:
        queue = queue_of(rule.line)
        known = self._table.get(queue, rule.name)
        same = known is not None and known.revision == rule.revision(call)
        if known is not None and same and known.fires_ms and ms_of(known.tick):
            upcoming = int(known.tick), int(known.fires_ms)  # spares working it out again
        else:
            upcoming = next_tick(rule.schedule, self._now_ms())
        op = schedules.put(
            queue,
            rule,
            call,
            upcoming,
            owner=(self._owner, self._since),
            silent_ms=int(self._grace * 1000),
        )
        self._steps.add(op, lambda answer: self._was_put(rule, *answer), self._refused)

    def _refused(self) -> None:
        self._declare_at = min(self._declare_at, self._clock.monotonic() + REFUSED)

    def _was_put(self, rule: Rule, code: int, other: str) -> None:
        queue = queue_of(rule.line)
        if code in {schedules.ADDED, schedules.REPLACED}:
            word = "added" if code == schedules.ADDED else "replaced"
            what = rule.schedule.describe()
            said = "put schedule schedule=%s queue=%s change=%s rule=%s"
            log.info(said, rule.name, queue, word, what)
            self._table.read_again(queue)
        elif code == schedules.OLDER:
            log.debug("left schedule to newer code schedule=%s queue=%s", rule.name, queue)
        elif code == schedules.TAKEN and (queue, rule.name, other) not in self._told:
            self._told.add((queue, rule.name, other))
            whose = f"the app {other!r}" if other else "a program, with schedules.add()"
            fix = (
                "give the job function of one of them another name, or, if both are one app, both "
                "the same JobQ(name=...)"
                if other
                else f"jobq schedule remove {rule.name}, or give the job function another name"
            )
            log.error(
                "left out schedule schedule=%s queue=%s taken_by=%s fix=%s",
                rule.name,
                queue,
                whose,
                fix,
            )

    # what is no longer where it was

    def _look_for_moved(self, every: Sequence[str]) -> None:
        """Look whether our schedules are in other queues, where older code has declared them."""
        names = sorted({name for _, name in self._rules})
        for queue in every:
            here = [name for name in names if (queue, name) not in self._rules]
            if here:
                op = schedules.owners(queue, here)
                self._steps.add(op, self._found_owners(queue, here))

    def _found_owners(self, queue: str, names: Sequence[str]) -> Callable[[Sequence[str]], None]:
        def read(owners: Sequence[str]) -> None:
            for name, owner in zip(names, owners, strict=True):
                if owner == self._owner:
                    self._remove(queue, name, "moved to another queue", self._since)

        return read

    def _search(self, own: Sequence[str], every: Sequence[str]) -> None:
        """Look for schedules of the app that nobody has declared for long, in all queues."""
        for known in self._table:
            self._judge(known.queue, known.name, known.owner, known.seen_ms)
        for queue in set(every) - set(own):
            self._search_in(queue, 0)

    def _search_in(self, queue: str, start: int) -> None:
        def read(page: Page) -> None:
            for row in page.rows:
                self._judge(queue, row.name, row.owner, row.seen_ms)
            if page.more:
                self._search_in(queue, start + schedules.PAGE)

        self._steps.add(schedules.page(queue, start), read)

    def _judge(self, queue: str, name: str, owner: str, seen_ms: int) -> None:
        if owner != self._owner or (queue, name) in self._rules:
            return
        if self._now_ms() - seen_ms > self._grace * 1000:
            self._remove(queue, name, "it is no longer in the code")

    def _remove(self, queue: str, name: str, why: str, since: int | None = None) -> None:
        def read(answer: tuple[int, str]) -> None:
            if answer[0] == 1:
                log.warning(
                    "removed schedule schedule=%s queue=%s app=%s reason=%s",
                    name,
                    queue,
                    self._owner,
                    why,
                )
                self._table.read_again(queue)

        silent = int(self._grace * 1000)
        op = schedules.remove(queue, name, owner=self._owner, silent_ms=silent, moved_since=since)
        self._steps.add(op, read)
