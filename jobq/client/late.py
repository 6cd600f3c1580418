"""What is imported when it is first needed: the one place that does not import at the top.

asyncio costs 45 ms and 10 MB, which a producer that never awaits anything shall not pay; asking
about jobs costs 10 ms, which one that only enqueues shall not; the embedded server costs 8 ms,
which those who have a Redis shall not.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jobq.store.connect import Locate

if TYPE_CHECKING:
    from jobq.client.aio import AsyncSide
    from jobq.client.asking import Asking
    from jobq.client.producer import Producer


def async_side(locate: Locate) -> "AsyncSide":
    """Return a new asyncio side of a producer."""
    module = importlib.import_module("jobq.client.aio")
    return cast("AsyncSide", module.AsyncSide(locate))


def asking(producer: "Producer", queue: str, job_id: str) -> "Asking":
    """Return what asks about a job."""
    module = importlib.import_module("jobq.client.asking")
    return cast("Asking", module.Asking(producer, queue, job_id))


def find_queue(producer: "Producer", job_id: str) -> str:
    """Return the queue of a job. See `jobq.client.asking.find_queue`."""
    module = importlib.import_module("jobq.client.asking")
    return cast("str", module.find_queue(producer, job_id))


async def afind_queue(producer: "Producer", job_id: str) -> str:
    """See `find_queue`."""
    module = importlib.import_module("jobq.client.asking")
    return cast("str", await module.afind_queue(producer, job_id))


def ensure(home: Path | None) -> Path:
    """Return the socket of a live embedded server. See `jobq.embedded.ensure`."""
    module = importlib.import_module("jobq.embedded")
    return cast("Callable[[Path | None], Path]", module.ensure)(home)


def find_home() -> Path:
    """Return the directory of the embedded server. See `jobq.embedded.find_home`."""
    module = importlib.import_module("jobq.embedded")
    return cast("Callable[[], Path]", module.find_home)()
