"""A worker among thousands of entries that are nearly calls: it buries them and does its work."""

import itertools

import pytest

from jobq.core.codec import Codec
from jobq.store import keys
from jobq.store.ops import fetch, inspect
from tests.scenario.ground import COMMON, Ground, children
from tests.support.mutants import mutants
from tests.support.wait import wait_until

MANY = 2000
HEALTHY = 200


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_thousands_of_mutants_beside_healthy_jobs(ground: Ground) -> None:
    ground.write(COMMON, "@app.job\ndef strange(*args, **more): raise Dead('it could be read')")
    codec = Codec()
    good = codec.encode_call(
        "jobs.strange", (7, "text", [1, {"a": None}], (2,)), {"b": b"x"}, {"r": 0}
    )
    stream = keys.jobs("default")
    numbers = itertools.count()
    with ground.redis.pipeline(transaction=False) as pipe:
        for number, blob in enumerate(mutants(good, MANY)):
            match number % 4:
                case 0:
                    fields = {b"m%d" % number: blob}
                case 1:
                    fields = {b"m%d" % number: blob, b"first": blob[:20], b"history": blob}
                case 2:
                    fields = {blob[:30] or b"-": blob}
                case _:
                    fields = {b"m%d" % number: blob, blob[:5] or b"-": b"x"}
            pipe.xadd(stream, fields)  # type: ignore[arg-type]
            if number % (MANY // HEALTHY) == 0:
                call = codec.encode_call("jobs.short", (next(numbers),), {})
                pipe.xadd(stream, {b"healthy%d" % number: call})
        pipe.execute()
    worker = ground.worker(processes=2)
    before = set(children(worker.pid))
    ground.wait_traced("ran", HEALTHY, timeout=60.0)

    def all_are_somewhere() -> bool:
        unknown = list(ground.redis.zrange(keys.due("default"), 0, -1))
        assert {one[:1] for one in unknown} <= {fetch.UNKNOWN.encode()}
        dead = ground.redis.xlen(keys.dead("default"))
        return not ground.pending("jobs") and dead + len(unknown) == MANY

    wait_until(all_are_somewhere, "each mutant is buried, or waits for who knows it", 60.0)
    ran = ground.ran()
    assert ran.keys() >= set(range(HEALTHY))
    assert all(ran[number] == 1 for number in range(HEALTHY))
    assert set(children(worker.pid)) == before, "no process died"
    assert "Traceback (" not in worker.text.replace("\\n", "")
    seen = ground.app.store.run(inspect.count("default"))
    assert (seen.running, seen.totals["succeeded"]) == (0, HEALTHY)
    worker.terminate()
    assert worker.wait() == 0
