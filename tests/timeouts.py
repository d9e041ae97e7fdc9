"""How long tests wait for another process."""

HANG = 1800
"""Seconds after which a process counts as hung, in all tests: far more than any takes on a busy machine."""
