"""Jobs that kill their process: they stop among the dead letters, and take nobody along (G8)."""

import re

import pytest

from tests.faults.conftest import Fault
from tests.faults.field import JOBS, SYNC, Field
from tests.faults.hosts import charged

HEALTHY = 500

#: What kills a process, and how its end reads. Each is started as often as it may crash.
DEATHS = {
    "exits": ("os._exit(3)", "exit code 3"),
    "segfaults": ("ctypes.string_at(0)", "killed by SIGSEGV"),
    "is_killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
}
POISON = """
@app.job(retries=10, max_crashes={crashes})
{kind}def {name}():
    begin()
    {death}
"""

KINDS = pytest.mark.parametrize(
    "kind",
    ["inline", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("threads", "async"))],
)


@KINDS
@pytest.mark.fault("G1", "G8")
def test_poison_among_healthy_jobs(field: Field, fault: Fault, kind: str) -> None:
    """By exit, by segmentation fault and by SIGKILL, each with its own limit of crashes."""
    limits = dict(zip(DEATHS, (3, 1, 2), strict=True))
    word = "async " if kind == "async" else ""
    field.write(
        JOBS if kind == "async" else SYNC,
        *(
            POISON.format(kind=word, name=name, death=death, crashes=limits[name])
            for name, (death, _) in DEATHS.items()
        ),
    )
    healthy, poison = [], {}
    for number, name in enumerate(DEATHS):
        many = HEALTHY // 5
        calls = [(n, 0.002) for n in range(number * many, (number + 1) * many)]
        healthy += field.put("jobs.awork" if kind == "async" else "jobs.work", calls)
        (poison[name],) = field.put(f"jobs.{name}", [()])
    rest = [(n, 0.002) for n in range(len(healthy), HEALTHY)]
    healthy += field.put("jobs.awork" if kind == "async" else "jobs.work", rest)

    options = ("--threads", "4") if kind == "threads" else ()
    worker = field.burst("--processes", "2", *options)

    account = field.account([*healthy, *poison.values()])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    fault.note("poison started " + ", ".join(str(account.starts[one]) for one in poison.values()))
    letters = {letter["id"]: letter for letter in field.dead()}
    assert set(letters) == set(poison.values())
    for name, (_, how) in DEATHS.items():
        starts, letter = account.starts[poison[name]], letters[poison[name]]
        assert starts == letter["attempts"] == limits[name], name
        times = "once" if starts == 1 else f"{starts} times"
        assert letter["reason"] == f"its worker died {times}"
        assert how in letter["message"], letter
        assert re.search(r"\d+ MB", letter["message"]), "it tells the resident size"
    assert account.succeeded == set(healthy)
    assert "took over" not in worker.text
    if kind == "inline":
        # Every charge is accounted for by the poison: the healthy ones have none, though those
        # that had ended in the last 10 ms before a death, unsettled, have run again.
        assert charged(worker) == sum(limits.values())
        assert {rest[1] for rest in field.traced("start") if rest[0] in set(healthy)} == {"1"}
        again = sum(account.starts[one] - 1 for one in healthy)
        fault.note(f"{again} ran again uncharged")
        assert max(account.starts[one] for one in healthy) <= 1 + len(poison)
    else:
        # Those that ran beside it run once more, alone: nobody drags them along again.
        assert max(account.starts[one] for one in healthy) <= 2


@pytest.mark.slow
@pytest.mark.fault("G8")
def test_poison_that_crashes_once_too_often_with_one_allowed(field: Field, fault: Fault) -> None:
    """Without a second chance there is one start, whatever its retries."""
    field.write(SYNC, POISON.format(kind="", name="exits", death="os._exit(3)", crashes=1))
    (poison,) = field.put("jobs.exits", [()])
    field.burst("--processes", "1")
    fault.lost, fault.duplicated = 0, field.starts()[poison] - 1
    assert field.starts()[poison] == 1
    (letter,) = field.dead()
    assert letter["id"] == poison
