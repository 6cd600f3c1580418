"""What is imported when it is first needed: the one place that does not import at the top.

asyncio costs 45 ms and 10 MB, which a producer that never awaits anything shall not pay; asking
about jobs costs 10 ms, which one that only enqueues shall not; the embedded server costs 8 ms,
which those who have a Redis shall not.
"""

from importlib import import_module
from types import ModuleType
from typing import Final

#: The modules that come late, by what they are for.
ASYNC_SIDE: Final = "jobq.client.aio"
ASKING: Final = "jobq.client.asking"
DURABLE: Final = "jobq.client.durable"
EMBEDDED: Final = "jobq.embedded"


def load(name: str) -> ModuleType:
    """Return one of these modules, imported if it is not yet."""
    return import_module(name)
