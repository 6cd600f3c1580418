"""Consumers: the supervisor, its workers, and the executors that run user code."""
