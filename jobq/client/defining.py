"""What ``@job`` does: a function becomes a job function of an app."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar, cast, overload

from jobq.client.function import AsyncJobFunction, JobFunction
from jobq.client.late import TIMING, load
from jobq.client.naming import job_name, plain_function
from jobq.client.producer import Producer
from jobq.client.sending import Sending
from jobq.client.shape import Shape, signature_of
from jobq.core.annotations import rebuilder
from jobq.core.marks import HEADER, marks_of
from jobq.core.options import DEFAULT_QUEUE, UNSET, Options, durability, resolve
from jobq.core.registry import Definition

if TYPE_CHECKING:
    from jobq.core.timetable import Rule

P = ParamSpec("P")
R = TypeVar("R")


class JobDecorator(Protocol):
    """What ``@job(...)`` with options is: makes a job function of a function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]], /
    ) -> AsyncJobFunction[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


def define(
    producer: Producer,
    sendings: dict[str, Sending],
    options: Options,
    timing: Mapping[str, object],
    decorated: object,
) -> object:
    """Make a job function and register it. See `JobQ.job`.

    Args:
        producer: of the app.
        sendings: how its job functions are sent, by name; the new one is added.
        options: with the defaults of the app filled in.
        timing: the options of a schedule.
        decorated: what the user wrote.
    """
    function = plain_function(decorated)
    name = job_name(function) if options.name is UNSET else options.name
    signature = signature_of(function)
    is_async = iscoroutinefunction(function)
    marks = [] if options.sensitive is UNSET else marks_of(options.sensitive, signature)
    queue = DEFAULT_QUEUE if options.queue is UNSET else options.queue
    placing = producer.place(options.placing, "@job")
    shape = Shape(name, getattr(function, "__qualname__", ""), signature)
    rule: Rule | None = None
    if timing:
        rule = load(TIMING).declared_rule(name, queue, placing, shape, timing)
    definition = Definition(
        name=name,
        function=function,
        queue=queue,
        policy=resolve(options),
        is_async=is_async,
        rebuild=rebuilder(function),
        signature=signature,
        sensitive=tuple(marks),
        rule=rule,
    )
    producer.registry.add(definition)
    sending = Sending(
        producer,
        name,
        queue,
        shape,
        {HEADER: marks} if marks else None,
        placing,
        durability(options),
    )
    sendings[name] = sending
    kind = AsyncJobFunction if is_async else JobFunction
    return cast("object", kind(definition, sending))
