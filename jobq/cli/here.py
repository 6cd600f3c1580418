"""One job called in this process, with all that its job function may ask and tell."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Final

from jobq.cli.output import clean, paint, say
from jobq.cli.shapes import represent
from jobq.client.app import JobQ
from jobq.core.carried import carried
from jobq.core.codec import Codec
from jobq.core.current import RunningJob, running
from jobq.core.marks import HEADER, Marked
from jobq.core.redact import Redactor
from jobq.core.registry import Definition
from jobq.core.reports import CHECKPOINT_BYTES, CHUNK_BYTES, check_size, fraction
from jobq.core.signing import without_keys
from jobq.errors import ConfigError
from jobq.store.ops.reports import checkpoint

#: Characters that are shown of a chunk or a checkpoint.
_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that may be made: read, its signature checked, its job function found.

    Attributes:
        definition: the job function.
        args: positional arguments, as they travelled.
        kwargs: keyword arguments, the same.
        headers: the options of this call.
    """

    definition: Definition
    args: list[object]
    kwargs: dict[str, object]
    headers: Mapping[str, object]

    def make(self, app: JobQ) -> object:
        """Make the call; whatever the job function raises is raised. An async one gets a loop."""
        args, kwargs = self.args, self.kwargs
        if self.definition.rebuild is not None:
            args, kwargs = self.definition.rebuild.apply(args, kwargs)
        found = self.definition.function(*args, **kwargs)
        return _finish(app, found) if isawaitable(found) else found


def open_call(app: JobQ, queue: str, job_id: str, blob: bytes) -> OpenCall:
    """Read a call as a worker of the app would.

    Raises:
        CallUnreadable: it is no call, or not signed as it must be.
        ConfigError: the app has no such job function.
    """
    if app.signer is not None:
        blob = app.signer.open(queue, job_id.encode(), blob)
    elif (unknown := without_keys(blob)) is not None:
        raise unknown
    name, args, kwargs, headers = app.codec.unpack_call(blob)
    definition = app.registry.get(name)
    if definition is None:
        near = app.registry.nearest(name)
        guess = f" Did you mean {near!r}?" if near else ""
        raise ConfigError(
            f"this app has no job function {name[:200]!r}.{guess}\n"
            "fix: name the app that has it with --app"
        )
    return OpenCall(definition, args, kwargs, headers)


@dataclass(slots=True)
class Here:
    """What a job function sees of the job that it runs in this process.

    What it reports is written to the terminal, and nothing of it to Redis.

    Args:
        app: the app.
        job: the job, without what it may report.
    """

    app: JobQ
    job: RunningJob
    _kept: list[object] = field(default_factory=list)
    _secrets: list[object] = field(default_factory=list, repr=False)

    @property
    def running_job(self) -> RunningJob:
        """What `current_job` returns."""
        job = self.job
        return RunningJob(
            job.id,
            job.name,
            job.queue,
            job.attempt,
            job.enqueued_at,
            lambda: True,
            lambda: self,
            lambda: job.headers,
        )

    def call(self, call: OpenCall) -> object:
        """Make the call with this around it."""
        for marks in (call.definition.sensitive, call.headers.get(HEADER, ())):
            self._secrets += Marked(marks).secrets(call.args, call.kwargs)
        before = running.set(self)
        try:
            return call.make(self.app)
        finally:
            running.reset(before)

    def redact(self, text: str) -> str:
        """Return a text without sensitive arguments."""
        return Redactor(self._secrets).text(text) if self._secrets else text

    def progress(self, done: float, note: str) -> None:
        """Show how far it is."""
        _tell("progress", f"{fraction(done):4.0%}  {note}".rstrip())

    def log(self, text: str, level: str) -> None:
        """Show a line."""
        _tell("log", f"{level} {text}")

    def stream(self, chunk: object) -> None:
        """Show a chunk, if it could travel."""
        check_size(self._codec.encode_value(chunk, "the chunk"), CHUNK_BYTES, "the chunk")
        _tell("stream", represent(chunk))

    async def astream(self, chunk: object) -> None:
        """See `stream`."""
        self.stream(chunk)

    def checkpoint(self, value: object) -> None:
        """Keep a value for the rest of this run alone, if it could travel."""
        blob = self._codec.encode_value(value, "the checkpoint")
        check_size(blob, CHECKPOINT_BYTES, "the checkpoint")
        self._kept[:] = [value]
        _tell("checkpoint", f"{represent(value)} (not kept)")

    async def acheckpoint(self, value: object) -> None:
        """See `checkpoint`."""
        self.checkpoint(value)

    def checkpointed(self) -> object:
        """Return the value of the last checkpoint: of this run, else the one that is kept."""
        if not self._kept:
            job, signer = self.job, self.app.signer
            blob = self.app.store.run(checkpoint(job.queue, job.id))
            if blob is not None and signer is not None:
                blob = signer.open(job.queue, b"checkpoint " + job.id.encode(), blob)
            self._kept.append(None if blob is None else self._codec.decode_value(blob))
        return self._kept[0]

    async def acheckpointed(self) -> object:
        """See `checkpointed`."""
        return self.checkpointed()

    @property
    def _codec(self) -> Codec:
        return self.app.codec


def headers_of(call: OpenCall) -> dict[str, str]:
    """Return what travels with a call beside its arguments."""
    return carried(call.headers)


def _finish(app: JobQ, found: Awaitable[object]) -> object:
    import asyncio  # noqa: PLC0415  45 ms, which only async job functions shall cost

    async def wait() -> object:
        try:
            return await found
        finally:
            await app.aclose()

    return asyncio.run(wait())


def _tell(what: str, text: str) -> None:
    text = clean(text)
    shown = text if len(text) <= _MOST else text[: _MOST - 1] + "…"
    say(f"{paint(what, 'dim', err=True)}  {shown}", err=True)
