"""Looking at queues: two rounds of questions for all of them together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from jobq.client.together import ask_all
from jobq.client.worker_rows import WorkerRow
from jobq.core.doctor import queue as queues
from jobq.core.doctor.finding import Finding, count, unasked
from jobq.core.doctor.queue import Holder, Line, Shape, Tick
from jobq.core.head import read_head
from jobq.core.lines import letter_of, lines_of
from jobq.core.numbers import ms_of
from jobq.core.pauses import PauseRecord
from jobq.errors import StoreDenied, StoreError
from jobq.store import keys, keyspace
from jobq.store.keys import PARKED
from jobq.store.ops import ahead, diagnose, inspect, pause, schedules, upkeep
from jobq.store.ops.diagnose import Entry, Group
from jobq.store.ops.upkeep import Consumer
from jobq.store.sync import Store
from jobq.store.wire import AnyOp

#: Queues that are looked at, those with the most jobs first.
MOST: Final = 50


@dataclass
class _Look:
    """What one queue has answered."""

    name: str
    counted: inspect.Counted
    workers: list[WorkerRow]
    answers: Mapping[str, object]
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    strangers: set[str] = field(default_factory=set[str])

    def get(self, what: str) -> object:
        """Return an answer; None where Redis refused."""
        found = self.answers[what]
        return None if isinstance(found, StoreError) else found


def look(
    store: Store, names: Sequence[str], workers: Sequence[WorkerRow], now_ms: int
) -> Iterator[Finding]:
    """Look at queues and judge them.

    Args:
        workers: those that live.
        now_ms: Redis time.
    """
    usable = [name for name in names if keyspace.usable(name)]
    chosen: list[_Look] = []
    counted = dict(zip(usable, ask_all(store, [inspect.count(one) for one in usable]), strict=True))
    for name, answer in counted.items():
        if isinstance(answer, StoreDenied):
            yield unasked("queue", str(answer))
        elif isinstance(answer, StoreError):
            fix = f"look at the keys of queue {name}: somebody else has written there"
            yield Finding("queue", "bad", f"cannot be counted: {answer}", fix, name)
        else:
            readers = [one for one in workers if name in one.queues]
            chosen.append(_Look(name, answer, readers, {}))
    chosen.sort(key=lambda one: one.counted.ready + one.counted.running, reverse=True)
    left_out = chosen[MOST:]
    chosen = sorted(chosen[:MOST], key=lambda one: one.name)
    _first_round(store, chosen, now_ms)
    _second_round(store, chosen)
    for one in chosen:
        yield from queues.examine(_shape(one, now_ms))
    if left_out:
        what = f"{count(len(left_out), 'queue')} with fewer jobs were only counted"
        yield Finding("queue", "ok", what)


def _first_round(store: Store, chosen: Sequence[_Look], now_ms: int) -> None:
    """Ask of each queue what does not depend on other answers."""
    questions = [_questions(one.name, now_ms) for one in chosen]
    answers = iter(ask_all(store, [op for each in questions for op in each.values()]))
    for one, each in zip(chosen, questions, strict=True):
        one.answers = {what: next(answers) for what in each}


def _questions(name: str, now_ms: int) -> dict[str, AnyOp]:
    ops: dict[str, AnyOp] = {
        "pauses": pause.read(name),
        "schedules": schedules.page(name),
        "overdue": ahead.due_before(name, now_ms),
    }
    for stream in _streams(name):
        ops[f"length {stream}"] = diagnose.length(stream)
        ops[f"group {stream}"] = diagnose.group(stream)
        ops[f"consumers {stream}"] = upkeep.consumers(stream)
        ops[f"newest {stream}"] = diagnose.newest(stream)
        ops[f"first {stream}"] = diagnose.first(stream)
    return ops


def _second_round(store: Store, chosen: Sequence[_Look]) -> None:
    """Ask for the first entries of each line, what became of them, and the next that wait."""
    asked: list[tuple[_Look, str, list[Entry], str]] = []
    ops: list[AnyOp] = []
    for one in chosen:
        for line in lines_of(one.name):
            stream = keys.jobs(line)
            group, entries = one.get(f"group {stream}"), _entries(one.get(f"first {stream}"))
            last = group.last if isinstance(group, Group) else ""
            if not entries:
                continue
            asked.append((one, line, entries, last))
            ops += (
                diagnose.places(one.name, tuple(entry.job_id for entry in entries)),
                diagnose.pending(stream, entries[0].id, entries[-1].id),
                diagnose.first(stream, last),
            )
    answers = ask_all(store, ops)
    for at, (one, line, entries, last) in enumerate(asked):
        places, pending, waiting = answers[3 * at : 3 * at + 3]
        if isinstance(places, list) and isinstance(pending, frozenset) and last:
            found = cast("list[str]", places)
            one.skipped[keys.jobs(line)] = sum(
                _position(entry.id) <= _position(last)
                and entry.id not in pending
                and where == letter_of(line) + entry.id
                for entry, where in zip(entries, found, strict=True)
            )
        known = {job for worker in one.workers for job in worker.jobs}
        for entry in _entries(waiting):
            name = read_head(entry.call).name
            if name and name not in known:
                one.strangers.add(name)


def _shape(one: _Look, now_ms: int) -> Shape:
    counted, overdue, page = one.counted, one.get("overdue"), one.get("schedules")
    rows = page.rows if isinstance(page, schedules.Page) else ()
    pauses = one.get("pauses")
    newest = [
        ms
        for stream in _streams(one.name)
        for entry in _entries(one.get(f"newest {stream}"))
        if (ms := ms_of(entry.id.partition("-")[0].encode())) is not None
    ]
    return Shape(
        name=one.name,
        waiting=counted.ready or (overdue if isinstance(overdue, int) else 0),
        oldest=None if counted.oldest_ms is None else max(0, now_ms - counted.oldest_ms) / 1000,
        unknown=counted.unknown,
        strangers=one.strangers,
        workers=sum(worker.state == "running" for worker in one.workers),
        lines=[_line(one, stream) for stream in _streams(one.name)],
        holders=list(_holders(one)),
        ticks=[Tick(row.name, _late(row, now_ms), row.problem) for row in rows],
        pauses=cast("tuple[PauseRecord, ...]", pauses) if isinstance(pauses, tuple) else (),
        ahead=(max(newest, default=0) - now_ms) / 1000,
        now_ms=now_ms,
    )


def _line(one: _Look, stream: str) -> Line:
    length = one.get(f"length {stream}")
    missing = one.get(f"group {stream}") is None
    # Where it may not be asked, and where there is no stream, nothing is said of its group.
    denied = isinstance(one.answers[f"group {stream}"], StoreError)
    many = length if isinstance(length, int) else 0
    return Line(stream, many, denied or not missing, one.skipped.get(stream, 0))


def _holders(one: _Look) -> Iterator[Holder]:
    for stream in _streams(one.name):
        found = one.get(f"consumers {stream}")
        consumers = cast("list[Consumer]", found) if isinstance(found, list) else []
        for consumer in consumers:
            if consumer.pending and consumer.name != PARKED:
                yield Holder(consumer.name, consumer.pending, consumer.idle / 1000)


def _late(row: schedules.Standing, now_ms: int) -> float:
    return 0.0 if row.fires_ms is None else (now_ms - row.fires_ms) / 1000


def _streams(name: str) -> tuple[str, ...]:
    return (*map(keys.jobs, lines_of(name)), keys.retries(name))


def _entries(answer: object) -> list[Entry]:
    return cast("list[Entry]", answer) if isinstance(answer, list) else []


def _position(entry: str) -> tuple[int, int]:
    ms, _, number = entry.partition("-")
    return int(ms), int(number or 0)
