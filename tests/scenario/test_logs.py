"""The log of a real worker: its form, and the job on every line inside of one."""

import json

import pytest

from tests.scenario.ground import PATIENCE, Ground

pytestmark = pytest.mark.slow

APP = """
import logging

log = logging.getLogger("shop.mail")

@app.job
def says(word, secret=None):
    log.info("word %s", word)
    logging.getLogger("deep.library").warning("odd")

@app.job
async def asays(word):
    await asyncio.sleep(0)
    log.info("aword %s", word)
    await asyncio.to_thread(log.info, "beside %s", word)

@app.job(sensitive=("secret",))
def hides(secret):
    pass
"""

OWN = """
logging.basicConfig(
    stream=sys.stdout, level=logging.INFO, format="mine %(message)s %(jobq_id)s", force=True
)
import logging.config
logging.config.dictConfig({"version": 1, "root": {"level": "INFO", "handlers": ["one"]},
    "handlers": {"one": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout",
                         "formatter": "one"}},
    "formatters": {"one": {"format": "mine %(message)s %(jobq_id)s"}}})
"""

WAYS = pytest.mark.parametrize("way", [(), ("--threads", "3")], ids=["one", "threads"])


@WAYS
def test_every_line_inside_of_a_job_knows_it(ground: Ground, way: tuple[str, ...]) -> None:
    ground.write(APP)
    sent = {ground.send("jobs.says", n).id: str(n) for n in range(3)}
    asynchronous = {ground.send("jobs.asays", n).id: str(n) for n in range(3, 6)}
    hidden = ground.send("jobs.hides", "open sesame").id
    worker = ground.start(
        "jobq", "worker", "--burst", "--log-format", "json", "--log-args", "--processes", "1", *way
    )
    assert worker.wait(PATIENCE) == 0
    said = [json.loads(line) for line in worker.err]
    assert all({"at", "level", "logger", "process", "message"} <= set(row) for row in said)
    inside = [row for row in said if row["logger"] in {"shop.mail", "deep.library"}]
    told = {(row["job"], row["message"]) for row in inside}
    assert told == {
        *((job, f"word {n}") for job, n in sent.items()),
        *((job, "odd") for job in sent),
        *((job, f"{word} {n}") for job, n in asynchronous.items() for word in ("aword", "beside")),
    }
    assert {(row["name"], row["queue"], row["attempt"]) for row in inside} == {
        ("jobs.says", "default", 1),
        ("jobs.asays", "default", 1),
    }
    started = {row["job"]: row["args"] for row in said if row.get("event") == "started"}
    assert started == {
        **{job: f"({n})" for job, n in (sent | asynchronous).items()},
        hidden: "([redacted])",
    }
    assert "sesame" not in worker.text


def test_what_an_app_has_configured_stays(ground: Ground) -> None:
    ground.write(APP, OWN)
    job = ground.send("jobs.says", 1)
    worker = ground.start("jobq", "worker", "--burst", "--processes", "1", "-v")
    assert worker.wait(PATIENCE) == 0
    # dictConfig() disables the loggers that it does not name, and that is the user's to say.
    assert worker.out == [f"mine odd {job.id}"]
    assert any(f"ran job={job.id}" in line for line in worker.err), "jobq's own go where they went"
