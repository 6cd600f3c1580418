"""Where user code runs: inline in the main thread, or on a loop with threads beside it."""
