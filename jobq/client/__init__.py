"""Producing: defining job functions, calling them, and asking what became of the jobs."""
