"""The pure heart of jobq: what a job is, how it travels, and what becomes of it."""
