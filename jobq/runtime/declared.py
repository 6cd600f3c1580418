"""What a supervisor needs of an app for its schedules: what the code declares, and the keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from jobq.core.marks import HEADER
from jobq.core.ports import Application
from jobq.core.registry import Definition
from jobq.core.signing import SCHEDULE, Signer

#: What `jobq.client.app.JobQ` is called where nobody gave it a name.
_NO_NAME: Final = "jobq"


@dataclass(frozen=True, slots=True)
class Declared:
    """What the code of an app declares about schedules.

    Attributes:
        owner: the app, as its schedules name it.
        schedules: the definition and the call of each, encoded, as latin-1.
        keys: id and secret of the signing keys, as latin-1, the one that signs first. They come
            from the worker alone, never from Redis.
        accept_unsigned: unsigned calls are trusted too.
    """

    owner: str = ""
    schedules: tuple[tuple[str, str], ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    accept_unsigned: bool = False

    @staticmethod
    def read(given: Mapping[str, object]) -> "Declared":
        """Read it out of JSON.

        Raises:
            ValueError: it is anything else.
        """
        match given:
            case {
                "owner": str(owner),
                "schedules": list(rows),
                "keys": dict(found),
                "accept_unsigned": bool(accepts),
            }:
                every = tuple((str(one), str(call)) for one, call in rows)
                return Declared(owner, every, {str(k): str(v) for k, v in found.items()}, accepts)
        raise ValueError("not what an app declares")

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the definition and the call of each schedule."""
        for definition, call in self.schedules:
            yield definition.encode("latin-1"), call.encode("latin-1")

    def signer(self) -> Signer | None:
        """Return what signs and checks calls; None: nothing is signed."""
        secrets = {name: secret.encode("latin-1") for name, secret in self.keys.items()}
        return Signer(secrets, accept_unsigned=self.accept_unsigned) if secrets else None


def declared_by(app: Application, called: str) -> Declared:
    """Return what the code of an app declares.

    Args:
        called: what banners call the app: ``shop.jobs:app (from pyproject.toml)``.
    """
    owner = called.partition(" (")[0] if app.name == _NO_NAME else app.name
    definitions = map(app.registry.get, app.registry.names())
    rows = tuple(_row(app, one) for one in definitions if one is not None and one.rule)
    signer = app.signer
    if signer is None:
        return Declared(owner, rows)
    keys = {name: secret.decode("latin-1") for name, secret in signer.secrets().items()}
    return Declared(owner, rows, keys, signer.accept_unsigned)


def _row(app: Application, definition: Definition) -> tuple[str, str]:
    rule = definition.rule
    assert rule is not None
    headers = {HEADER: list(definition.sensitive)} if definition.sensitive else None
    call = app.codec.encode_call(definition.name, (), {}, headers)
    if (signer := app.signer) is not None:
        rule = replace(rule, signed=True)
        call = signer.sign(definition.queue, SCHEDULE + rule.name, call)
    return rule.encode().decode("latin-1"), call.decode("latin-1")
