"""Which jobs wait at one moment, told by the keys of their queue alone."""

from collections import Counter

from redis import Redis

from jobq.core.codec import Codec
from jobq.store import keys
from jobq.store.keys import GROUP, PARKED


def waiting(redis: Redis, codec: Codec) -> Counter[object]:
    """Return how many jobs wait, delayed, ready or for a retry, by their first argument."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(keys.index("default"))
        pipe.hgetall(keys.delayed("default"))
        for stream in (keys.jobs("default"), keys.retries("default")):
            pipe.xrange(stream)
            pipe.xpending_range(stream, GROUP, "-", "+", 100_000)
        index, delayed, jobs, running, retries, held = pipe.execute()
    calls = {job_id: value.split(b" ", 2)[2] for job_id, value in delayed.items()}
    taken = {b"j" + one["message_id"] for one in running}
    taken |= {b"r" + one["message_id"] for one in held if one["consumer"] != PARKED.encode()}
    for letter, entries in ((b"j", jobs), (b"r", retries)):
        for entry, fields in entries:
            job_id, call = next(iter(fields.items()))
            if index.get(job_id) == letter + entry and letter + entry not in taken:
                calls[job_id] = call
    return Counter(codec.decode_call(call).args[0] for call in calls.values())
