"""What the tests stand on: a real server, a proxy that breaks things, child processes, waiting."""
