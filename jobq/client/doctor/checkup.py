"""The whole checkup, part by part: what cannot be asked ends its part, not the others.

Guarantees:
    * nothing is written, but that an embedded server is started where there is none;
    * whatever is in Redis: so many queues, keys and entries are looked at, at most.
"""

from collections.abc import Iterator

from jobq.client.app import JobQ
from jobq.client.doctor.keys import walk
from jobq.client.doctor.local import home, home_of, installed
from jobq.client.doctor.queues import look
from jobq.client.rows import moment
from jobq.client.together import ask, ask_all
from jobq.client.worker_rows import WorkerRow, worker_row
from jobq.core.clock import Clock, SystemClock
from jobq.core.doctor import crew, leftovers, local, server
from jobq.core.doctor.finding import Finding, unasked
from jobq.errors import ServerError, StoreDenied, StoreError, StoreUnavailable
from jobq.store.ops import diagnose, inspect, upkeep
from jobq.store.ops.diagnose import SETTINGS

#: How often Redis is asked whether it is there.
PINGS = 10


class Doctor:
    """Looks at the Redis of an app, its queues, and this machine.

    Args:
        app: whose Redis.
        most_keys: keys that are looked at, about.
    """

    def __init__(self, app: JobQ, *, most_keys: int = 10_000, clock: Clock = SystemClock()) -> None:
        self._app = app
        self._store = app.store
        self._most_keys = most_keys
        self._clock = clock

    def examine(self) -> Iterator[Finding]:
        """Go through all there is, from this machine to the queues."""
        yield from local.libraries(installed(local.LIBRARIES))
        url = self._app.safe_url()
        embedded = home_of(url)
        if embedded is not None:
            found = home(embedded)
            yield from local.home(found)
        try:
            self._store.run(diagnose.ping())
            yield Finding("connection", "ok", url)
            yield from self._redis()
            yield from self._queues()
        except (StoreUnavailable, StoreDenied, ServerError) as error:
            fix = "start it, or set --url or JOBQ_REDIS_URL to where it is"
            if isinstance(error, StoreDenied):
                fix = "give the user its rights (docs/guide/security.md), or use another one"
            yield Finding("connection", "bad", f"{url}: {error}", fix)

    def _redis(self) -> Iterator[Finding]:
        said = ask(self._store, diagnose.info())
        if isinstance(said, StoreError):
            yield unasked("version", str(said))
        else:
            config: dict[str, str] = {}
            for answer in ask_all(self._store, [diagnose.setting(name) for name in SETTINGS]):
                if isinstance(answer, dict):
                    config |= answer
            yield from server.examine(said, config)
        yield server.latency([self._timed() for _ in range(PINGS)])
        yield server.clock(self._skew())
        yield from self._rights()

    def _rights(self) -> Iterator[Finding]:
        rights = ask(self._store, diagnose.rights())
        if isinstance(rights, StoreError):
            yield unasked("rights", str(rights))
            return
        missing: frozenset[str] = rights.missing
        if rights.denied is None:
            known = ask(self._store, diagnose.known())
            missing = frozenset() if isinstance(known, StoreError) else known
        yield server.commands(missing)
        yield server.rights(self._store.locate().username or "default", rights.denied)

    def _timed(self) -> float:
        began = self._clock.monotonic()
        self._store.run(diagnose.ping())
        return self._clock.monotonic() - began

    def _skew(self) -> float:
        """Return how many seconds this host is behind Redis, as the best of some looks tells."""
        looks: list[tuple[float, float]] = []
        for _ in range(3):
            began, here = self._clock.monotonic(), self._clock.time()
            there = self._store.run(upkeep.time_ms()) / 1000
            took = self._clock.monotonic() - began
            looks.append((took, there - here - took / 2))
        took, skew = min(looks)
        return skew if abs(skew) > took else 0.0

    def _queues(self) -> Iterator[Finding]:
        workers: list[WorkerRow] = []
        register = ask(self._store, inspect.workers())
        now_ms = self._store.run(upkeep.time_ms())
        if isinstance(register, StoreError):
            yield unasked("workers", str(register))
        else:
            workers = [worker_row(one) for one in register]
            now = moment(now_ms)
            members = {
                one.name: crew.Member(one.name, one.version, (now - one.seen_at).total_seconds())
                for one in workers
            }
            yield from crew.examine(list(members.values()))
            workers = [one for one in workers if members[one.name].lives]
        names = ask(self._store, inspect.queues())
        if isinstance(names, StoreError):
            yield unasked("queue", str(names))
            return
        yield from look(self._store, names, workers, now_ms)
        met = walk(self._store, names, self._most_keys)
        if isinstance(met, StoreError):
            yield unasked("keys", str(met))
        else:
            yield from leftovers.examine(met)
