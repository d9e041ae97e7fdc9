"""The streams that a process writes its text to."""

from __future__ import annotations

import sys


def replace_what_cannot_be_encoded() -> None:
    """Let standard output and error write ``?`` for characters that their encoding does not have.

    On Windows output that goes to a file has the code page of the system, such as cp1252, and an ellipsis or a name in
    another script would end the process. Streams that are not text files, as those of a notebook, are left alone.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
