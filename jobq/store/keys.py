"""Every key of jobq, as a function with its type: the public schema of a Redis that jobq uses.

All keys of a queue share the hash tag ``{queue}``, so that each transition is one atomic script
on one cluster slot.
"""

#: The consumer group of both streams; there is one, whatever the number of workers.
GROUP = "jobq"

#: The consumer that holds waiting retries pending, so that XPENDING lists them.
PARKED = "parked"

#: hash: worker name → when it was last seen and what it is.
WORKERS = "jobq:workers"

#: set: the names of all queues that were ever used.
QUEUES = "jobq:queues"

#: stream: commands to supervisors; each reads all of them and does what is meant for it.
CONTROL = "jobq:control"


def jobs(queue: str) -> str:
    """Return the stream of calls waiting for, or in, their first attempt."""
    return f"jobq:{{{queue}}}:jobs"


def retries(queue: str) -> str:
    """Return the stream of calls waiting for, or in, a later attempt."""
    return f"jobq:{{{queue}}}:retries"


def dead(queue: str) -> str:
    """Return the stream of dead letters."""
    return f"jobq:{{{queue}}}:dead"


def due(queue: str) -> str:
    """Return the sorted set of what becomes runnable when: score = Redis time in ms."""
    return f"jobq:{{{queue}}}:due"


def index(queue: str) -> str:
    """Return the hash of job id → where it is: one letter for the stream, then the entry."""
    return f"jobq:{{{queue}}}:index"


def history(queue: str) -> str:
    """Return the hash of job id → the attempts so far of a job in ``retries`` (msgpack)."""
    return f"jobq:{{{queue}}}:history"


def cancels(queue: str) -> str:
    """Return the hash of job id → where it ran when its cancel was asked for, as in ``index``."""
    return f"jobq:{{{queue}}}:cancels"


def lanes(queue: str) -> str:
    """Return the sorted set of producer lanes: score = when (Redis time, us) it last called."""
    return f"jobq:{{{queue}}}:lanes"


def meta(queue: str) -> str:
    """Return the hash of counters and settings of a queue."""
    return f"jobq:{{{queue}}}:meta"


def result(queue: str, job_id: str) -> str:
    """Return the string with the result of a job; it always has a TTL."""
    return f"jobq:{{{queue}}}:result:{job_id}"


def of_queue(queue: str) -> tuple[str, ...]:
    """Return all keys of a queue but its results, which end by themselves."""
    every = (jobs, retries, dead, due, index, history, cancels, lanes, meta)
    return tuple(key(queue) for key in every)
