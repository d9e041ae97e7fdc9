"""How long tests wait for another process."""

HANG = 3600
"""Seconds after which a process counts as hung, in all tests: far more than any takes on a busy machine."""
