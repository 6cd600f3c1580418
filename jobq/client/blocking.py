"""How blocking code waits for a result: Redis tells when it is written."""

from contextlib import suppress

from jobq.client.waiting import Waiting
from jobq.core.clock import Clock, SystemClock
from jobq.errors import StoreUnavailable
from jobq.store.ops.inspect import look, result
from jobq.store.sync import Store


def wait(
    store: Store, queue: str, job_id: str, waiting: Waiting, clock: Clock = SystemClock()
) -> object:
    """Wait for a result.

    The key of the result is read on a connection where Redis tells of changes to keys that were
    read (CLIENT TRACKING), so its writing wakes the waiter: there is no polling, but for a look
    at the job itself each second.

    Raises:
        ResultError: there is none, or not in time.
        StoreError: Redis refused, or cannot be reached.
    """
    seen = store.run(look(queue, job_id))  # what has ended already needs no other connection
    ended = waiting.of_look(seen.state, seen.result, seen.letter, clock.monotonic())
    if ended is not None:
        return ended.value
    waiting.pause(clock.monotonic())
    with store.listening() as connection:
        while True:
            blob = connection.run(result(queue, job_id), patience=store.patience)
            ended = waiting.of_result(blob)
            if ended is None and waiting.must_look(clock.monotonic()):
                seen = store.run(look(queue, job_id))
                ended = waiting.of_look(seen.state, seen.result, seen.letter, clock.monotonic())
            if ended is not None:
                return ended.value
            pause = waiting.pause(clock.monotonic())
            with suppress(StoreUnavailable):  # cut: the next turn connects again
                connection.wait_push(pause)
