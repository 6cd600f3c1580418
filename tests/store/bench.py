"""A queue of which both Redis and a model are told: what the steps of a state machine share."""

import itertools
from collections import defaultdict
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from jobq.core.lines import letter_of, lines_of
from jobq.runtime.delivery import what_stays
from jobq.store import clock, keys
from jobq.store.ops import fetch, pause, settle, upkeep
from jobq.store.ops.enqueue import Due
from jobq.store.ops.promote import Cursor
from jobq.store.ops.settle import Attempt
from jobq.store.sync import Store
from jobq.store.wire import Op
from tests.store.line import Line, resent
from tests.store.model_keys import Keys
from tests.store.model_times import DAY
from tests.store.snapshot import connected
from tests.support.server import Server

NUMBERS = itertools.count(1)


class Bench(RuleBasedStateMachine):
    """One queue with its model, and what workers of it have in their hands, or have lost."""

    def __init__(self, store: Store, server: Server) -> None:
        super().__init__()
        self.server = server
        self.store = store
        self.redis = connected(server.connect(protocol=2))
        self.queue = f"queue{next(NUMBERS)}"
        self.line = Line(store.run, self.queue).open()
        self.grouped = {"j", "r"}
        self.model = Keys()
        self.hands: dict[str, tuple[Attempt, bytes]] = {}
        self.stale: list[tuple[Attempt, bytes]] = []
        self.sent: list[Op[Any]] = []
        self.notes: dict[str, Any] = {}
        self.cursor: Cursor | None = None
        self.base = store.run(upkeep.time_ms())
        self.looks = 0
        self.count = 0
        self.keyed: defaultdict[str, list[str]] = defaultdict(list)

    def _of(self, key: str) -> list[str]:
        """Return the live jobs that were added with a key, but those that came back from death."""
        live = set(self.model.ids("hjlrdqx"))
        return [i for i in self.keyed[key] if i in live and not self.model.jobs[i].revived]

    def _new(self) -> str:
        self.count += 1
        return f"job{self.count:04}"

    def _due(self, when: tuple[int, bool] | None) -> Due | None:
        if when is None:
            return None
        days, asked = when
        return (0, self.base + (self.model.now + days) * DAY) if asked else (days * DAY, 0)

    def _tick(self) -> None:
        """No two steps are in the same millisecond: what comes first would be a matter of luck."""
        self.line.run(clock.move(1))

    def _send(self, op: Op[Any]) -> Any:
        self._tick()
        self.sent.append(resent(op, "lane", next(NUMBERS)))
        return self.line.run(self.sent[-1])

    def _how(self, how: str, attempt: Attempt, call: bytes, days: int, kind: str) -> bool:
        run, seconds = self.line.run, days * DAY / 1000
        match how:
            case "fail":
                op = settle.retry(attempt, call, delay=seconds, kind=kind, history=b"")
            case "release" | "hold":
                seconds = pause.HELD_FOR if how == "hold" else seconds
                op = settle.release(attempt, call, delay=seconds, kind=kind)
            case "bury":
                op = settle.bury(attempt, call, b"letter", 0, b"")
            case "end":
                op = settle.cancelled(attempt)
            case _ if attempt.count:
                op = settle.finish(attempt, 0, b"")
            case _:
                done = (attempt.entry, attempt.job_id, 0, b"", 0)
                return run(settle.settle(attempt.queue, attempt.consumer, [done])) == []
        return run(op)

    def _hold(self, line: str, worker: str, entry: bytes, fields: list[bytes], count: int) -> None:
        job_id, call = fields[0].decode(), fields[1]
        assert job_id not in self.hands, "it runs at two workers at once"
        assert (call, count) == (self.model.jobs[job_id].call, self.model.jobs[job_id].attempt)
        attempt = Attempt(line, worker, entry, fields[0], count, what_stays(fields))
        self.hands[job_id] = attempt, call

    def _drop(self, job_id: str) -> None:
        self.stale.append(self.hands.pop(job_id))

    def _streams(self) -> list[tuple[str, str]]:
        lines = [(line, keys.jobs(line)) for line in lines_of(self.queue)]
        grouped = [one for one in lines if letter_of(one[0]) in self.grouped]
        return [*grouped, (self.queue, self.line.retries)]

    def _regroup(self) -> None:
        self.line.run(upkeep.regroup(self.queue))
        used = [line for line in lines_of(self.queue) if self.line.run(fetch.is_used(line))]
        self.grouped |= {letter_of(line) for line in used}
