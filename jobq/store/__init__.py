"""Redis: the only package that opens a connection, names a key or sends a command."""
