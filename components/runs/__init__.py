"""A bundle's run: its command line, data set, logs and end by an error, before anything is built.

Every config calls :func:`start` first. It does something only in a process that was started as
``python -m monai.bundle run``; where a bundle is loaded by other code, as in a server, nothing is changed.
"""

from .begin import is_command, start
from .group import end_group

__all__ = ["end_group", "is_command", "start"]
