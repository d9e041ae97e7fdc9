"""``doctor``: what this machine and this installation can do, and what mends what is wrong."""
