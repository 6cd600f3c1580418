"""What is imported when it is first needed: the one place that does not import at the top.

asyncio costs 45 ms and 10 MB, which a producer that never awaits anything shall not pay; asking
about jobs costs 10 ms, which one that only enqueues shall not; the embedded server costs 8 ms,
which those who have a Redis shall not; neither shall those without schedules
pay for them, nor those that only enqueue for what is done to queues.
"""

from importlib import import_module
from types import ModuleType
from typing import Final

#: The modules that come late, by what they are for.
AROUND: Final = "jobq.client.around"
ASYNC_SIDE: Final = "jobq.client.aio"
ASKING: Final = "jobq.client.asking"
DURABLE: Final = "jobq.client.durable"
FOLLOWING: Final = "jobq.client.following"
JOB_LOG: Final = "jobq.observe.joblog"
HOOKS: Final = "jobq.core.hooks"
EMBEDDED: Final = "jobq.embedded"
QUEUE: Final = "jobq.client.queue"
PLANNING: Final = "jobq.client.planning"
SNAPSHOT: Final = "jobq.client.snapshot"
TIMING: Final = "jobq.client.timing"
WEBHOOK: Final = "jobq.core.webhook"


def load(name: str) -> ModuleType:
    """Return one of these modules, imported if it is not yet."""
    return import_module(name)


class LateModule:
    """One of these modules as others see it: imported when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        return getattr(import_module(self._name), attribute)
