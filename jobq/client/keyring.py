"""The signing keys of an app: those it was given, or those of JOBQ_SIGNING_KEYS."""

import os
from collections.abc import Mapping
from typing import Final

from jobq.core.signing import Signer, make_signer, split_keys
from jobq.errors import ConfigError

#: ``id:secret,id:secret``, for every app that was given no keys; the first one signs.
VARIABLE: Final = "JOBQ_SIGNING_KEYS"
#: ``1``: workers with keys run unsigned calls too.
ACCEPT: Final = "JOBQ_ACCEPT_UNSIGNED"

_YES: Final = frozenset(("1", "true", "yes"))
_NO: Final = frozenset(("", "0", "false", "no"))

Keys = Mapping[str, str | bytes]


class Keyring:
    """Finds the signer of an app; never shown with a secret.

    Args:
        keys: id and secret of each key, the first one signs; None: what JOBQ_SIGNING_KEYS says
            at first use.
        accept_unsigned: let unsigned calls pass; None: what JOBQ_ACCEPT_UNSIGNED says.

    Raises:
        ConfigError: a key cannot be used.
    """

    __slots__ = ("_accept", "_keys")

    def __init__(self, keys: Keys | None, accept_unsigned: bool | None) -> None:
        self._keys = keys
        self._accept = accept_unsigned
        if keys is not None:
            make_signer(keys, accept_unsigned=False, what=_GIVEN)

    def signer(self) -> Signer | None:
        """Return what signs and checks calls; None: nothing is signed.

        Raises:
            ConfigError: a variable cannot be used.
        """
        keys, what = self._keys, _GIVEN
        if keys is None:
            said = os.environ.get(VARIABLE, "")
            if not said:
                return None
            keys, what = split_keys(said, VARIABLE), VARIABLE
        accept = _accepts() if self._accept is None else self._accept
        return make_signer(keys, accept_unsigned=accept, what=what)


def _accepts() -> bool:
    said = os.environ.get(ACCEPT, "").lower()
    if said in _YES:
        return True
    if said in _NO:
        return False
    raise ConfigError(f"{ACCEPT} is {said[:20]!r}; use 1 or 0")


_GIVEN: Final = "signing_keys"
