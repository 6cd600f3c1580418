"""Makes a result again what the return annotation of its job function says it is."""

from collections.abc import Mapping
from functools import partial
from inspect import Signature, unwrap

from jobq.core.annotations import Function
from jobq.core.builders import Builder, Misfit, builder_of, resolve_hint
from jobq.errors import ResultUnreadable


class Returns:
    """Rebuilds the results of one job function.

    The annotation is resolved when the first result comes: a class may be defined below the
    function, and most producers never ask for a result.
    """

    __slots__ = ("_build", "_function", "_layout", "_resolved")

    def __init__(self, function: Function, layout: Signature) -> None:
        self._function = function
        self._layout = layout
        self._resolved = False
        self._build: Builder | None = None

    def __call__(self, value: object) -> object:
        """Return a result, rebuilt.

        Args:
            value: as it was decoded.

        Raises:
            ResultUnreadable: it cannot become what the annotation says.
        """
        if not self._resolved:
            self._build = _builder(self._function, self._layout.return_annotation)
            self._resolved = True
        if self._build is None:
            return value
        try:
            return self._build(value)
        except Misfit as misfit:
            called = getattr(self._function, "__qualname__", repr(self._function))
            raise ResultUnreadable(
                f"the result of {called}{misfit}. Correct its return annotation; "
                "app.handle(job_id).result() gives the plain data."
            ) from None


def _builder(function: Function, annotation: object) -> Builder | None:
    if annotation is Signature.empty or annotation is None:
        return None
    while isinstance(function, partial):
        function = function.func
    inner = unwrap(function)
    scope: Mapping[str, object] = getattr(inner, "__globals__", {})
    try:
        return builder_of(resolve_hint(annotation, scope, getattr(inner, "__type_params__", ())))
    except Exception:  # noqa: BLE001  whatever evaluating an annotation raises: it tells us nothing
        return None
