"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
        topic: what it belongs to, such as "Packages".
        name: the thing.
        text: what was found.
        status: "ok"; "note" where something optional is missing or unused; "problem" where work will fail.
        remedy: what to type or do; empty if there is nothing to fix.
    """

    topic: str
    name: str
    text: str
    status: str = OK
    remedy: str = ""
