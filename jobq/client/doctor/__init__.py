"""`jobq doctor`: looks at a Redis, at its queues and at this machine, and says what is wrong."""

from jobq.client.doctor.checkup import Doctor

__all__ = ["Doctor"]
