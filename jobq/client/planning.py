"""What is done to schedules, step by step: the same for blocking code and event loops."""

from collections.abc import Generator, Mapping
from typing import Final, TypeVar

from jobq.client.bound import BoundCall
from jobq.client.producer import Producer
from jobq.client.schedule_rows import ScheduleRow, schedule_row
from jobq.client.timing import check_placing
from jobq.core.checks import check_queue
from jobq.core.ids import make_job_id
from jobq.core.schedule import check_schedule_name, parse_schedule
from jobq.core.signing import SCHEDULE, Signer
from jobq.core.timetable import Rule, next_tick
from jobq.errors import (
    CallTooNew,
    CallUntrusted,
    ConfigError,
    OptionError,
    ScheduleNotFound,
)
from jobq.store.ops import enqueue, inspect, schedules, upkeep
from jobq.store.ops.schedules import Standing
from jobq.store.wire import Answer, AnyOp

T = TypeVar("T")

#: A plan: yields ops, is sent their answers, and returns what came of it.
Plan = Generator[AnyOp, Answer, T]

#: Milliseconds after its last declaration for which a schedule counts as declared: supervisors
#: repeat it every ten seconds.
HEARD: Final = 35_000

#: How often a change is tried again when somebody else was quicker.
TRIES: Final = 5


def add(
    producer: Producer, name: str, call: BoundCall[T], when: Mapping[str, object]
) -> Plan[None]:
    """See `Schedules.add`."""
    where = "schedules.add()"
    schedule = parse_schedule(name, when, where)
    _check_call(call, where)
    check_placing(call.sending.placing, where)
    signer = producer.signer
    rule = Rule(schedule, call.name, call.line, signed=signer is not None)
    queue = call.queue
    blob = call.encoded
    if signer is not None:
        blob = signer.sign(queue, SCHEDULE + name, blob)
    elsewhere = [(one, found) for one, found in (yield from _find(name, None)) if one != queue]
    for other, found in elsewhere:
        if found.owner:
            raise _taken(name, other, found.owner)
    now_ms = yield upkeep.time_ms()
    yield enqueue.register_queue(queue)
    op = schedules.put(queue, rule, blob, next_tick(schedule, now_ms), silent_ms=HEARD)
    code, owner = yield op
    if code == schedules.TAKEN:
        raise _taken(name, queue, owner)
    for other, _ in elsewhere:  # a schedule is in one queue: that of its newest call
        yield schedules.remove(other, name, silent_ms=HEARD)


def remove(name: str, queue: str | None) -> Plan[None]:
    """See `Schedules.remove`."""
    where, _ = yield from _the_one(name, queue)
    code, owner = yield schedules.remove(where, name, silent_ms=HEARD)
    if code == schedules.TAKEN:
        raise ConfigError(
            f"schedule {name!r} is declared by the code of {owner!r}, which would bring it back: "
            "take it out of the code, or pause it"
        )
    if code != 1:
        raise ScheduleNotFound(name)


def pause(name: str, queue: str | None) -> Plan[bool]:
    """See `Schedules.pause`."""
    where, _ = yield from _the_one(name, queue)
    return _done(name, (yield schedules.pause(where, name)))


def resume(name: str, queue: str | None) -> Plan[bool]:
    """See `Schedules.resume`."""
    where, found = yield from _the_one(name, queue)
    rule = Rule.decode(found.definition)
    now_ms = yield upkeep.time_ms()
    return _done(name, (yield schedules.resume(where, name, next_tick(rule.schedule, now_ms))))


def run_now(producer: Producer, name: str, queue: str | None) -> Plan[tuple[str, str]]:
    """See `Schedules.run_now`; returns queue and id of the job."""
    job_id = make_job_id()
    for _ in range(TRIES):
        where, found = yield from _the_one(name, queue)
        rule = Rule.decode(found.definition)
        stored = yield schedules.stored_call(where, name)
        call = _signed_anew(producer.signer, rule, where, job_id, stored)
        if (yield schedules.run(rule, found.revision, job_id, call)):
            return where, job_id
    raise ConfigError(f"schedule {name!r} changes all the time: two programs replace it in turn")


def list_all(producer: Producer) -> Plan[list[ScheduleRow]]:
    """See `Schedules.list`."""
    rows: list[ScheduleRow] = []
    for queue in (yield inspect.queues()):
        start = 0
        while True:
            page = yield schedules.page(queue, start)
            for found in page.rows:
                last = yield schedules.past(queue, found.name, 1)
                problem = yield from _problem(producer, queue, found)
                rows.append(schedule_row(queue, found, last, problem))
            if not page.more:
                break
            start += schedules.PAGE
    return sorted(rows, key=lambda row: (row.name, row.queue))


def get(producer: Producer, name: str, queue: str | None) -> Plan[ScheduleRow]:
    """See `Schedules.get`."""
    where, found = yield from _the_one(name, queue)
    past = yield schedules.past(where, name)
    problem = yield from _problem(producer, where, found)
    return schedule_row(where, found, past, problem)


# ---------------------------------------------------------------------------- parts of plans


def _find(name: str, queue: str | None) -> Plan[list[tuple[str, Standing]]]:
    """Look for the schedules of a name; those of one queue, or of all."""
    check_schedule_name(name)
    every = [check_queue(queue)] if queue is not None else (yield inspect.queues())
    found: list[tuple[str, Standing]] = []
    for one in every:
        page = yield schedules.one(one, name)
        found += [(one, row) for row in page.rows]
    return found


def _the_one(name: str, queue: str | None) -> Plan[tuple[str, Standing]]:
    found = yield from _find(name, queue)
    if not found:
        raise ScheduleNotFound(name)
    if len(found) > 1:
        queues = ", ".join(one for one, _ in found)
        raise OptionError(
            f"there are {len(found)} schedules named {name!r}, in queues {queues}: say which, "
            f"with queue={found[0][0]!r}"
        )
    one: tuple[str, Standing] = found[0]
    return one


def _problem(producer: Producer, queue: str, found: Standing) -> Plan[str]:
    """Return what is wrong with a schedule as far as it can be told here: its signature."""
    if found.problem or producer.signer is None:
        return found.problem
    stored = yield schedules.stored_call(queue, found.name)
    try:
        producer.signer.open(queue, f"{SCHEDULE}{found.name}".encode(), stored)
    except CallTooNew:
        return ""
    except CallUntrusted as error:
        return f"its call is not trusted: {error.reason}"
    return ""


def _signed_anew(
    signer: Signer | None, rule: Rule, queue: str, job_id: str, stored: bytes
) -> bytes:
    if signer is None:
        if rule.signed:
            raise ConfigError(
                f"the call of schedule {rule.name!r} is signed, and there are no keys here to sign "
                "its job with: set JOBQ_SIGNING_KEYS, or name the app"
            )
        return stored
    call = signer.open(queue, f"{SCHEDULE}{rule.name}".encode(), stored)
    # One that is not signed, but taken for now, must not become good for ever.
    return stored if call is stored else signer.sign(queue, job_id, call)


def _done(name: str, code: int) -> bool:
    if code < 0:
        raise ScheduleNotFound(name)
    return code == 1


def _taken(name: str, queue: str, owner: str) -> ConfigError:
    return ConfigError(
        f"there is a schedule {name!r} in queue {queue!r}, which the code of {owner!r} declares: "
        "use another name, or take that one out of the code"
    )


def _check_call(call: object, where: str) -> None:
    """Refuse what a user without a type checker may have given in the place of a call."""
    if not isinstance(call, BoundCall):
        kind = type(call).__name__
        raise OptionError(f"{where}: the call is a {kind}; use function.s(...), with the arguments")
