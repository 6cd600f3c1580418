"""The tests. This file makes `tests.support` importable; the folders below need none."""
