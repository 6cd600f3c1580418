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


def pauses(line: str) -> str:
    """Return the hash of job function → since when it is paused, by whom; ``*``: all of them."""
    return _key(line, "pauses")


def lanes(line: str) -> str:
    """Return the sorted set of producer lanes: score = when (Redis time, us) it last called."""
    return _key(line, "lanes")


def meta(line: str) -> str:
    """Return the hash of counters and settings of a queue."""
    return _key(line, "meta")


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


def of_queue(queue: str) -> tuple[str, ...]:
    """Return all keys of a queue but its results and past ticks: their names are in the others."""
    every = (
        retries,
        dead,
        due,
        delayed,
        index,
        history,
        cancels,
        unique,
        pauses,
        lanes,
        meta,
        schedules,
        ticks,
    )
    return (*map(jobs, lines_of(queue)), *(key(queue) for key in every))


def _key(line: str, what: str) -> str:
    return f"jobq:{{{line.partition(' ')[0]}}}:{what}"
