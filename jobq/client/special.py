"""Calls that are not put into Redis as usual: later, first, once, signed, or only if there is room.

What comes here has a `Placing`, or an app that signs its calls or bounds its queues; all others
go past it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from jobq.client.batch import Ready
from jobq.client.producer import Producer
from jobq.client.shape import Shape
from jobq.core.ids import make_job_id
from jobq.core.placing import Placing
from jobq.core.uniqueness import Uniqueness
from jobq.errors import DuplicateJob, QueueFull, StoreUnavailable
from jobq.store.ops.enqueue import (
    ADDED,
    NOW,
    REPLACED,
    SIGN,
    THROTTLED,
    UNCERTAIN,
    Full,
    Landed,
    enqueue,
    enqueue_keyed,
    enqueue_many,
    enqueue_special,
)
from jobq.store.wire import Answer, Op

#: How often a call is signed anew because another job has its key by then.
TRIES: Final = 100


class Again(NamedTuple):
    """The call must be signed for another job: the op that sends it so."""

    op: "Op[Added]"


class Refused(NamedTuple):
    """A call that did not become a job, and shall be an error then."""

    error: DuplicateJob


#: What an op that adds jobs comes to: how many it added, the id of the job that it became or that
#: stands for it, or why there is none.
Added = int | str | Full | Again | Refused


def as_added(op: Op[int] | Op[bool] | Op[int | Full]) -> Op[Added]:
    """Say of an op what Op cannot know: a bool is an int, and an int may stand for `Added`."""
    return cast("Op[Added]", op)


class Special:
    """Puts calls of one job function into Redis as their options want it.

    Args:
        producer: where they go.
        name: of the job function.
        queue: where its jobs wait.
        shape: its signature; None: it is not known here.
        placing: what is special about them; None: nothing but what the app wants.
    """

    __slots__ = ("name", "placing", "producer", "queue", "shape")

    def __init__(
        self,
        producer: Producer,
        name: str,
        queue: str,
        shape: Shape | None,
        placing: Placing | None,
    ) -> None:
        self.producer: Producer = producer
        self.name: str = name
        self.queue: str = queue
        self.shape: Shape | None = shape
        self.placing: Placing | None = placing

    @property
    def unique(self) -> Uniqueness | None:
        """Which calls are the same; None: none is."""
        return None if self.placing is None else self.placing.unique

    @property
    def in_turn(self) -> bool:
        """Whether each call must have its answer before the next one is sent."""
        if self.producer.most is not None:
            return True
        unique = self.unique
        return unique is not None and (unique.raises or self.producer.signer is not None)

    def prepare(
        self, blob: bytes, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[str, Op[Added]]:
        """Return the id of a job and the op that adds it.

        Args:
            blob: the encoded call.
            args: its arguments by position, as they were given.
            kwargs: those by name.
        """
        producer, placing = self.producer, self.placing
        producer.special = (
            producer.signer is not None or producer.most is not None or producer.around is not None
        )
        if placing is None:
            job_id = make_job_id()
            blob = self._signed(job_id, blob)
            if producer.most is None:
                return job_id, as_added(enqueue(self.queue, job_id, blob))
            return job_id, self._bounded([(job_id, blob)])
        if placing.unique is not None:
            return self._keyed(placing, placing.unique, blob, args, kwargs)
        job_id = placing.job_id or make_job_id()
        return job_id, self._bounded([(job_id, self._signed(job_id, blob))])

    def many(self, chunk: list[Ready]) -> Op[Added]:
        """Return the op that adds calls without a uniqueness key."""
        if self.placing is None and self.producer.most is None:
            return as_added(enqueue_many(self.queue, chunk))
        return self._bounded(chunk)

    def landed(self, job_id: str, answer: Answer) -> str:
        """Read what an op came to that is not `Again`, and return the id of the job.

        Raises:
            DuplicateJob: the id or the uniqueness key is taken.
            QueueFull: the queue has as many jobs as it may have.
            StoreUnavailable: the connection was cut, and whether the job was added is not known.
        """
        if isinstance(answer, str):
            return answer
        if isinstance(answer, Refused):
            raise answer.error
        if isinstance(answer, Full):
            most = self.producer.most or 0
            raise QueueFull(self.queue, answer.size, answer.dead, most)
        if answer == UNCERTAIN:
            raise StoreUnavailable(
                "the connection was cut while jobs were enqueued, and Redis cannot tell whether "
                "they were added. They may or may not exist."
            )
        if isinstance(answer, Again):
            raise StoreUnavailable(
                f"its uniqueness key went from job to job {TRIES} times while the call was signed "
                "for one of them; it was not added"
            )
        # Without an id of the caller's own, 0 says that a resend had arrived before.
        if not answer and self.placing is not None and self.placing.job_id is not None:
            raise DuplicateJob(job_id)
        return job_id

    def _bounded(self, calls: list[Ready]) -> Op[Added]:
        placing, most = self.placing, self.producer.most
        if placing is None:
            return as_added(enqueue_special(self.queue, calls, most=most))
        return as_added(
            enqueue_special(
                placing.line(self.queue),
                calls,
                due=placing.due or NOW,
                most=most,
                own=placing.job_id is not None,
            )
        )

    def _keyed(
        self,
        placing: Placing,
        unique: Uniqueness,
        blob: bytes,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> tuple[str, Op[Added]]:
        producer, line = self.producer, placing.line(self.queue)
        layout = None if self.shape is None else self.shape.layout
        key = unique.key(self.name, layout, producer.codec, args, kwargs)
        job_id = make_job_id()

        def op(signed_for: str) -> Op[Added]:
            sent = enqueue_keyed(
                line,
                key,
                job_id,
                self._signed(signed_for, blob),
                unique.rule,
                due=placing.due,
                most=producer.most,
                signed_for=signed_for if producer.signer is not None else "",
            )
            return Op(sent.words, lambda reply: read(sent.parse(reply)), sent.script, sent.stamp_at)

        def read(answer: Landed | Full | int) -> Added:
            if not isinstance(answer, Landed):
                return answer
            if answer.how == SIGN:
                return Again(op(answer.job_id))
            if answer.how in {ADDED, REPLACED} or not unique.raises:
                return answer.job_id
            return Refused(DuplicateJob(answer.job_id, key, throttled=answer.how == THROTTLED))

        return job_id, op(job_id)

    def _signed(self, job_id: str, blob: bytes) -> bytes:
        signer = self.producer.signer
        return blob if signer is None else signer.sign(self.queue, job_id, blob)
