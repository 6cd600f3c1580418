"""What jobs do to their process, and what they give back."""

import pytest

from jobq.errors import JobFailed, JobNotFound, ResultUnreadable
from tests.scenario.ground import COMMON, Ground, children
from tests.support.wait import wait_until

#: The fast suite has three minutes.
pytestmark = pytest.mark.slow

ALL = pytest.mark.parametrize(
    "kind", ["sync", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("threads", "async"))]
)


def start(ground: Ground, kind: str, *parts: str) -> int:
    """Start a worker that runs jobs of a kind; returns the process that runs them."""
    ground.write(
        COMMON, *(part.replace("KIND", "async def" if kind == "async" else "def") for part in parts)
    )
    worker = ground.worker(*(("--threads", "3") if kind == "threads" else ()))
    return children(worker.pid)[0]


@ALL
def test_current_job(ground: Ground, kind: str) -> None:
    start(
        ground,
        kind,
        """
import contextvars
from concurrent.futures import ThreadPoolExecutor

def helper():
    return current_job()

@app.job
KIND tell():
    job = helper()
    with ThreadPoolExecutor() as pool:
        same = pool.submit(contextvars.copy_context().run, helper).result() == job
    return [job.id, job.name, job.queue, job.attempt, job.enqueued_at, same]

@app.job
async def in_a_task():
    return await asyncio.create_task(asyncio.sleep(0, current_job().id))
""",
    )
    job = ground.send("jobs.tell")
    answer = job.result(timeout=10)
    assert isinstance(answer, list)
    assert answer[:4] == [job.id, "jobs.tell", "default", 1]
    assert answer[5] is True
    seconds, micro = ground.server.cli("TIME")
    assert 0 <= int(seconds) + int(micro) / 1e6 - answer[4].timestamp() < 30
    job = ground.send("jobs.in_a_task")
    assert job.result(timeout=10) == job.id


@ALL
def test_context_variables_do_not_leak(ground: Ground, kind: str) -> None:
    start(
        ground,
        kind,
        """
from contextvars import ContextVar
seen = ContextVar("seen", default=None)

@app.job
KIND look(n):
    before = seen.get()
    seen.set(n)
    return before
""",
    )
    ids = ground.put("jobs.look", [(n,) for n in range(200)])
    assert {ground.app.handle(one, "default").result(timeout=10) for one in ids} == {None}


@pytest.mark.parametrize(
    "raised",
    [
        "sys.exit()",
        "sys.exit(3)",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "raise asyncio.CancelledError",
        "raise BaseException('x')",
        "os.getcwd(1)",
        "raise RecursionError",
        "raise MemoryError",
    ],
)
@ALL
def test_whatever_is_raised_is_a_failure(ground: Ground, kind: str, raised: str) -> None:
    pid = start(ground, kind, f"@app.job(retries=0)\nKIND bad():\n    {raised}\n")
    with pytest.raises(JobFailed):
        ground.send("jobs.bad").result(timeout=10)
    assert ground.send("jobs.who").result(timeout=10) == pid, "the process goes on"


@ALL
def test_errors_that_are_hard_to_keep(ground: Ground, kind: str) -> None:
    """Text that cannot be encoded, text without end, classes that cannot be shown."""
    pid = start(
        ground,
        kind,
        r"""
class Odd(Exception):
    def __str__(self): raise SystemExit(1)

@app.job(retries=0)
KIND surrogate(): raise ValueError("caf\udce9")

@app.job(retries=0)
KIND odd(): raise Odd

@app.job(retries=0)
KIND long(): raise ValueError("x" * 20_000_000)

@app.job(retries=0)
KIND lines(): raise ValueError("\n\x1b[31m")

@app.job(retries=1, backoff=0.01)
KIND again(): raise ValueError("caf\udce9")
""",
    )
    for name in ("surrogate", "odd", "long", "lines", "again"):
        with pytest.raises(JobFailed):
            ground.send(f"jobs.{name}").result(timeout=20)
    assert ground.send("jobs.who").result(timeout=10) == pid
    letters = {letter["job"]: letter for letter in ground.dead()}
    assert letters["jobs.again"]["attempts"] == 2
    assert ground.server.cli("MEMORY", "USAGE", "jobq:{default}:dead") < 200_000


@ALL
def test_results_that_are_hard_to_keep(ground: Ground, kind: str) -> None:
    pid = start(
        ground,
        kind,
        r"""
class Own: pass
class Registered: pass
def broken(value): raise KeyError("broken")
app.register_type(Registered, name="registered", encode=broken, decode=broken)

@app.job
KIND unknown(): return Own()

@app.job
KIND broken_type(): return Registered()

@app.job
KIND huge(): return "x" * 20_000_000

@app.job
KIND large(): return "x" * 400_000

@app.job
KIND endless():
    one = []
    one.append(one)
    return one

@app.job
KIND surrogate(): return "\udce9"

@app.job(result_ttl=0)
KIND none_kept(): return 1

@app.job(result_ttl=0.2)
KIND soon_gone(): return 1
""",
    )
    for name in ("unknown", "broken_type", "huge", "endless"):
        with pytest.raises(ResultUnreadable, match=r"cannot be kept"):
            ground.send(f"jobs.{name}").result(timeout=20)
    assert ground.send("jobs.large").result(timeout=10) == "x" * 400_000
    job = ground.send("jobs.none_kept")
    with pytest.raises(JobNotFound):
        wait_until(lambda: job.status() == "never", "it has gone")
    assert ground.send("jobs.surrogate").result(timeout=10) == "\udce9"
    job = ground.send("jobs.soon_gone")
    with pytest.raises(JobNotFound):
        wait_until(lambda: job.status() == "never", "it has gone")
    assert ground.send("jobs.who").result(timeout=10) == pid
    assert ground.left() == 0


@ALL
def test_jobs_that_use_the_process(ground: Ground, kind: str, tmp_path: object) -> None:
    del tmp_path
    pid = start(
        ground,
        kind,
        r"""
import multiprocessing, subprocess, warnings
warnings.simplefilter("ignore")

@app.job
KIND threads():
    found = []
    some = [threading.Thread(target=found.append, args=(n,)) for n in range(5)]
    for one in some: one.start()
    for one in some: one.join()
    return sorted(found)

@app.job
KIND programs():
    return subprocess.run(["sh", "-c", "echo hello; exit 3"], capture_output=True).returncode

@app.job
KIND forks():
    child = os.fork()
    if not child:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@app.job
KIND moves():
    os.chdir("/")
    print("printed", flush=True)
    sys.stderr.write("said\n")
    return os.getcwd()

@app.job
KIND lingers():
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()

@app.job
KIND closes():
    sys.stdout.close()
    sys.stderr.close()
    return 1
""",
    )
    expected = {
        "threads": [0, 1, 2, 3, 4],
        "programs": 3,
        "forks": 5,
        "moves": "/",
        "lingers": None,
        "closes": 1,
    }
    for name, value in expected.items():
        assert ground.send(f"jobs.{name}").result(timeout=10) == value, name
    assert ground.send("jobs.who").result(timeout=10) == pid


def test_an_alarm_of_ones_own_survives_timeouts(ground: Ground) -> None:
    pid = start(
        ground,
        "sync",
        """
@app.job
def own():
    signal.signal(signal.SIGALRM, lambda *_: trace("rang"))
    return 1

@app.job(timeout=5)
def limited():
    return 2

@app.job
def ring():
    os.kill(os.getpid(), signal.SIGALRM)
    return 3
""",
    )
    for name, value in (("own", 1), ("limited", 2), ("ring", 3)):
        assert ground.send(f"jobs.{name}").result(timeout=10) == value
    assert len(ground.traced("rang")) == 1
    assert ground.send("jobs.who").result(timeout=10) == pid
