"""What a worker tells its supervisor once it has imported the app: the supervisor never does."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from jobq.core.backoff import Backoff, from_wire, to_wire
from jobq.core.options import DEFAULT_BACKOFF, Policy
from jobq.core.outcome import is_retried
from jobq.core.registry import Definition
from jobq.errors import JobTimedOut, OptionError
from jobq.runtime.declared import Declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The app as its worker found it.

    Attributes:
        url: where Redis is, with the password.
        safe_url: the same for people.
        app: what the app is called.
        queues: the queues that the worker reads, the first one first.
        jobs: the names of the job functions.
        lease: that of the app, in seconds.
        policies: by name, of the job functions whose policy is not the default one: what a
            supervisor needs of it when it has to settle an attempt itself. See `policy_for`.
        kinds: which kinds of job functions there are: ``sync``, ``async`` or ``both``.
        declared: what its schedules need.
        listens: it has hooks that are to hear of jobs that are dead.
    """

    url: str = field(repr=False)
    safe_url: str
    app: str
    queues: tuple[str, ...]
    jobs: tuple[str, ...]
    lease: float
    policies: Mapping[str, list[object]] = field(default_factory=dict)
    kinds: str = "sync"
    declared: Declared = field(default_factory=Declared)
    listens: bool = False

    def policy_for(self, name: str) -> Policy:
        """Return the policy of a job function, as far as it travels.

        A backoff that is a function stays behind: it runs in workers only, and the default stands
        in for it. Of ``retry_on`` only this is known: whether a timeout is retried.
        """
        return _policy(self.policies[name]) if name in self.policies else Policy()

    def encode(self) -> bytes:
        """Return it as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def decode(line: bytes) -> "Hello":
        """Read what `encode` wrote.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: it is anything else.
        """
        try:
            given = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deep") from None
        return Hello(
            url=given["url"],
            safe_url=given["safe_url"],
            app=given["app"],
            queues=tuple(given["queues"]),
            jobs=tuple(given["jobs"]),
            lease=given["lease"],
            policies=given["policies"],
            kinds=str(given["kinds"]),
            declared=Declared.read(given["declared"]),
            listens=bool(given["listens"]),
        )


def travelling(definitions: Iterable[Definition]) -> dict[str, list[object]]:
    """Return what `Hello.policies` is made of."""
    every = {one.name: _row(one.policy) for one in definitions}
    default = _row(Policy())
    return {name: row for name, row in every.items() if row != default}


def _row(policy: Policy) -> list[object]:
    backoff: list[object] | None
    try:
        backoff = to_wire(policy.backoff)
    except OptionError:
        backoff = None
    return [
        policy.retries,
        backoff,
        is_retried(policy, JobTimedOut(0.0)),
        policy.timeout,
        policy.hard_timeout,
        policy.max_crashes,
        policy.result_ttl,
        policy.retry_for,
    ]


def _policy(row: list[object]) -> Policy:
    match row:
        case [
            int(retries), backoff, bool(retried), timeout, hard, int(crashes), float(ttl), retry_for
        ]:  # fmt: skip
            return Policy(
                retries=retries,
                backoff=_backoff(backoff),
                retry_on=(Exception,) if retried else (),
                timeout=timeout if isinstance(timeout, float) else None,
                hard_timeout=hard if isinstance(hard, float) else None,
                max_crashes=crashes,
                result_ttl=ttl,
                retry_for=retry_for if isinstance(retry_for, float) else None,
            )
    raise ValueError(f"not a policy: {row!r}")


def _backoff(wire: object) -> Backoff:
    return DEFAULT_BACKOFF if wire is None else from_wire(wire)
