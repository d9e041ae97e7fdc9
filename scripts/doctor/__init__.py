"""``doctor``: what this machine and this installation can do, and how to fix problems."""
