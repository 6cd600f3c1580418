"""What we ask of Redis, as values: each function returns an `Op`, none sends anything."""
