"""What is imported when it is first needed: the one place that does not import at the top.

asyncio costs 45 ms and 10 MB, which a producer that never awaits anything shall not pay; the
embedded server costs 8 ms, which those who have a Redis shall not.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jobq.store.connect import Locate

if TYPE_CHECKING:
    from jobq.client.aio import AsyncSide


def async_side(locate: Locate) -> "AsyncSide":
    """Return a new asyncio side of a producer."""
    module = importlib.import_module("jobq.client.aio")
    return cast("AsyncSide", module.AsyncSide(locate))


def ensure(home: Path | None) -> Path:
    """Return the socket of a live embedded server. See `jobq.embedded.ensure`."""
    module = importlib.import_module("jobq.embedded")
    return cast("Callable[[Path | None], Path]", module.ensure)(home)


def find_home() -> Path:
    """Return the directory of the embedded server. See `jobq.embedded.find_home`."""
    module = importlib.import_module("jobq.embedded")
    return cast("Callable[[], Path]", module.find_home)()
