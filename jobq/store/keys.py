"""Every key of jobq, as a function with its type: the public schema of a Redis that jobq uses.

All keys of a queue share the hash tag ``{queue}``, so that each transition is one atomic script
on one cluster slot. Where a function takes a line (see `jobq.core.lines`), any line of the queue
gives the same key, but for `jobs`.
"""

from jobq.core.lines import HIGH, LOW, line_of, lines_of

#: The consumer group of all streams; there is one, whatever the number of workers.
GROUP = "jobq"

#: The consumer that holds waiting retries pending, so that XPENDING lists them.
PARKED = "parked"

#: Which workers may take a waiting retry: the letter before its entry in ``due``.
SYNC, ASYNC, ANY, SUSPECT, UNKNOWN = "s", "a", "?", "!", "u"

#: Held because its job function is paused, which nobody may take: any, and one that runs alone.
HELD, HELD_SUSPECT = "p", "P"
KINDS = SYNC + ASYNC + ANY + SUSPECT + UNKNOWN + HELD + HELD_SUSPECT

#: ms that are added to the time of what is held: it stands behind everything that is ever due.
HELD_MS = 10**14

#: hash: worker name → when it was last seen and what it is.
WORKERS = "jobq:workers"

#: set: the names of all queues that were ever used.
QUEUES = "jobq:queues"

#: stream: commands to supervisors; each reads all of them and does what is meant for it.
CONTROL = "jobq:control"

#: string: ms by which a test has moved the clock; scripts look at it only where tests ask for that.
CLOCK = "jobq:clock"


def jobs(line: str) -> str:
    """Return the stream of calls of a line, waiting for, or in, their first attempt."""
    queue, _, priority = line.partition(" ")
    return f"jobq:{{{queue}}}:jobs:{priority}" if priority else f"jobq:{{{queue}}}:jobs"


def other_jobs(queue: str) -> tuple[str, str]:
    """Return the streams of the jobs of high and of low priority, for scripts on all three."""
    return jobs(line_of(queue, HIGH)), jobs(line_of(queue, LOW))


def retries(line: str) -> str:
    """Return the stream of calls waiting for, or in, a later attempt."""
    return _key(line, "retries")


def dead(line: str) -> str:
    """Return the stream of dead letters."""
    return _key(line, "dead")


def groups(line: str) -> str:
    """Return the hash of fingerprint → the dead letters alike: how many, first, last, what.

    The first three are numbers, two of them Redis time in ms; `jobq.core.fingerprint` has the rest.
    """
    return _key(line, "groups")


def grouped(line: str) -> str:
    """Return the sorted set of fingerprint and entry of each dead letter in a group, by name."""
    return _key(line, "grouped")


def redated(line: str) -> str:
    """Return the set of dead letters that failed before they came to their entry.

    They were edited, or imported; their field ``at`` says when they failed.
    """
    return _key(line, "redated")


def due(line: str) -> str:
    """Return the sorted set of what becomes runnable when: score = Redis time in ms.

    A member is a letter, and the entry of a waiting retry or the id of a delayed job.
    """
    return _key(line, "due")


def delayed(line: str) -> str:
    """Return the hash of job id → a delayed job: when it was enqueued in ms, its line, its call.

    The three are separated by spaces; the line is the letter of `jobq.core.lines.LETTERS`.
    """
    return _key(line, "delayed")


def index(line: str) -> str:
    """Return the hash of job id → where it is: one letter for the place, then the entry."""
    return _key(line, "index")


def history(line: str) -> str:
    """Return the hash of job id → the attempts so far of a job in ``retries`` (msgpack)."""
    return _key(line, "history")


def cancels(line: str) -> str:
    """Return the hash of job id → where it ran when its cancel was asked for, as in ``index``."""
    return _key(line, "cancels")


def unique(line: str) -> str:
    """Return the hash of uniqueness key → the job that has it, and for how long."""
    return _key(line, "unique")


def unheard(line: str) -> str:
    """Return the sorted set of jobs that died and that hooks have not heard of.

    Score = when any worker may tell them, Redis time in ms.
    """
    return _key(line, "unheard")


def pauses(line: str) -> str:
    """Return the hash of job function → since when it is paused, by whom; ``*``: all of them."""
    return _key(line, "pauses")


def lanes(line: str) -> str:
    """Return the sorted set of producer lanes: score = when (Redis time, us) it last called."""
    return _key(line, "lanes")


def meta(line: str) -> str:
    """Return the hash of counters and settings of a queue."""
    return _key(line, "meta")


def tally(line: str) -> str:
    """Return the hash of what was counted lately: minute, key and job function → a number.

    Supervisors move it into `totals`, `minutes` and `hours`; the keys are those of
    `jobq.core.tally`. ``#`` alone: how often one has.
    """
    return _key(line, "tally")


def totals(line: str) -> str:
    """Return the hash of job function → what was counted of it since ever (msgpack)."""
    return _key(line, "totals")


def minutes(line: str, hour: int, job: str) -> str:
    """Return the hash of minute → what was counted in it of a job function (msgpack).

    There is one for each hour since 1970; it has a TTL of 25 hours.
    """
    return _key(line, f"minutes:{hour}:{job}")


def hours(line: str, day: int, job: str) -> str:
    """Return the hash of hour → what was counted in it of a job function (msgpack).

    There is one for each day since 1970; it has a TTL of 31 days.
    """
    return _key(line, f"hours:{day}:{job}")


def schedules(line: str) -> str:
    """Return the hash of letter and schedule name → what it is and how it stands.

    The letters: ``d`` its definition (msgpack), ``c`` the call of its jobs, ``r`` what stands for
    both, ``y`` what stands for when it ticks, ``t`` the nominal time of its next tick in ms, ``p``
    since when it is paused, ``o`` who declares it (since when the code is known, when it last said
    so, the app), ``l`` the job of its last tick, ``b`` the ticks that wait for that, ``e`` what is
    wrong with it, ``g`` since when it is in another queue. ``n`` alone: how often one was changed.
    """
    return _key(line, "schedules")


def ticks(line: str) -> str:
    """Return the sorted set of schedule names: score = when the next tick fires, Redis time in ms.

    One that is paused has an infinite score: all schedules are here.
    """
    return _key(line, "ticks")


def past_ticks(line: str, schedule: str) -> str:
    """Return the list of the last ticks of a schedule, the newest first.

    Each is four words, see `jobq.core.timetable`.
    """
    return _key(line, f"ticks:{schedule}")


def result(line: str, job_id: str) -> str:
    """Return the string with the result of a job; it always has a TTL."""
    return _key(line, f"result:{job_id}")


def progress(line: str, job_id: str) -> str:
    """Return the hash of how far a job is, and of what of its reports has come; it has a TTL.

    ``f`` the fraction, ``n`` the note, ``a`` the attempt, ``t`` when in ms; ``batch`` who sent the
    last reports and their number; ``bytes`` of all its chunks.
    """
    return _key(line, f"progress:{job_id}")


def log(line: str, job_id: str) -> str:
    """Return the stream of the last log lines of a job: attempt, level, text; it has a TTL."""
    return _key(line, f"log:{job_id}")


def chunks(line: str, job_id: str) -> str:
    """Return the stream of what a job has streamed: attempt, number, value; it has a TTL."""
    return _key(line, f"chunks:{job_id}")


def checkpoint(line: str, job_id: str) -> str:
    """Return the string with the last checkpoint of a job; it always has a TTL."""
    return _key(line, f"checkpoint:{job_id}")


def of_reports(line: str, job_id: str) -> tuple[str, ...]:
    """Return all keys of what a job has reported."""
    return tuple(key(line, job_id) for key in (progress, log, chunks, checkpoint))


def of_queue(queue: str) -> tuple[str, ...]:
    """Return all keys of a queue but those with the name of a job or of a schedule in theirs."""
    every = (
        retries,
        dead,
        groups,
        grouped,
        redated,
        due,
        delayed,
        index,
        history,
        cancels,
        unique,
        unheard,
        pauses,
        lanes,
        meta,
        tally,
        totals,
        schedules,
        ticks,
    )
    return (*map(jobs, lines_of(queue)), *(key(queue) for key in every))


def _key(line: str, what: str) -> str:
    return f"jobq:{{{line.partition(' ')[0]}}}:{what}"
