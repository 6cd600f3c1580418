"""The default app: what ``from jobq import job`` decorates with, on JOBQ_REDIS_URL or embedded."""

from typing import Final

from jobq.client.app import JobQ

default_app: Final[JobQ] = JobQ()
