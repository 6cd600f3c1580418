"""What `jobq doctor` thinks of what it was shown: no I/O, no clock."""
