"""Extension of Griffe: docstrings are text for people who read the code; here they become Markdown.

References such as ``:class:`ViLBlock` `` become links where there is a target, brackets and asterisks stay what they
are, and the doctest of an example is code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`([^`]+)`")
CODE = re.compile(r"(``.+?``|`[^`]+`|^ *>>>.*(?:\n.+)*)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrite the docstring of every object."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object that Griffe has read."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value, obj)


def markdown(text: str, obj: griffe.Object) -> str:
    """The docstring ``text`` of ``obj`` as Markdown."""
    parts = CODE.split(re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE))
    parts[::2] = [re.sub(r"([\[\]*])", r"\\\1", part) for part in parts[::2]]
    return ROLE.sub(lambda match: _link(match[1], obj), "".join(parts))


def _link(name: str, obj: griffe.Object) -> str:
    try:
        target = obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    return f'<autoref optional identifier="{target}"><code>{name}</code></autoref>'
