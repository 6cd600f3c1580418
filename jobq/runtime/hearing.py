"""What hooks hear of failures: made of what is settled, and told when Redis has it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobq.core.carried import carried
from jobq.core.head import read_head
from jobq.core.hooks import Failed, Hooks
from jobq.core.letter import Letter
from jobq.core.lines import queue_of
from jobq.core.outcome import Failure
from jobq.runtime.describe import text
from jobq.store.wire import Op

if TYPE_CHECKING:
    from jobq.runtime.delivery import Delivery

#: ms after which others tell hooks of a dead letter whose own worker has not: it died meanwhile.
#: Hooks that take longer are called twice.
OTHERS_MS: Final = 300_000

#: What hooks are to hear: what failed, and whether that was an attempt.
Hear = Callable[[Failed, bool], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """Whoever is to hear of failures.

    Attributes:
        failures: wants to hear of attempts that fail.
        deaths: wants to hear of jobs that are dead.
        hear: takes one; at once, from any thread.
    """

    failures: bool
    deaths: bool
    hear: Hear

    @property
    def unheard(self) -> int | None:
        """Return what `jobq.store.ops.settle.bury` is to note, in ms; None: nothing."""
        return OTHERS_MS if self.deaths else None

    def after_retry(
        self, op: Op[bool], delivery: "Delivery", failure: Failure, error: BaseException
    ) -> Op[bool]:
        """Return the op of a failure that will be retried; once it is done, it is told."""
        if not self.failures:
            return op
        failed = Failed(
            id=text(delivery.job_id),
            name=delivery.definition.name,
            queue=delivery.queue,
            attempt=delivery.attempt,
            attempts=delivery.policy.retries + 1,
            error=failure.error,
            message=failure.message,
            traceback=failure.traceback,
            exception=error,
            headers=carried(read_head(delivery.call).headers),
        )
        return self._then(op, failed, True)

    def after_bury(
        self, op: Op[bool], about: tuple[str, bytes, bytes], letter: Letter, error: object
    ) -> Op[bool]:
        """Return the op that buries a job; once it is done, it is told.

        Args:
            about: its line, its id, its call.
            letter: what its dead letter says.
            error: the exception of the attempt that has just failed; None: none has.
        """
        if not (self.deaths or (self.failures and error is not None)):
            return op
        line, job_id, call = about
        failed = failed_of(queue_of(line), text(job_id), call, letter)
        if isinstance(error, BaseException):
            failed = replace(failed, exception=error)
        return self._then(op, failed, error is not None)

    def _then(self, op: Op[bool], failed: Failed, attempted: bool) -> Op[bool]:
        parse = op.parse

        def read(reply: object) -> bool:
            # After a cut this can be the answer to a second try, which finds nothing to do. Then
            # the hooks of dead letters hear of it from Redis, and those of failures do not.
            if done := parse(reply):
                self.hear(failed, attempted)
            return done

        return replace(op, parse=read)


def listens(hooks: Hooks) -> tuple[bool, bool]:
    """Tell whether anybody wants to hear of failures, and whether of dead jobs."""
    events = {event for webhook in hooks.webhooks for event in webhook.events}
    return bool(hooks.on_failure) or "failure" in events, bool(hooks.on_dead) or "dead" in events


def failed_of(queue: str, job_id: str, call: bytes, letter: Letter) -> Failed:
    """Return what hooks hear of a dead letter."""
    head = read_head(call)
    failure, retries = letter.failure, letter.history.retries
    return Failed(
        id=job_id,
        name=head.name,
        queue=queue,
        attempt=letter.attempts,
        attempts=max(1, letter.attempts) if retries is None else retries + 1,
        error=failure.error,
        message=failure.message,
        traceback=failure.traceback,
        reason=letter.reason,
        dead=True,
        headers=carried(head.headers),
    )
