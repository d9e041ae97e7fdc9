"""How to get MONAI Label, which needs an environment of its own."""

from __future__ import annotations

from ..installed import PACKAGE

INSTALL = (
    "bash scripts/label_server.sh installs it into an environment of its own and starts it"
    if PACKAGE == "scripts"
    else f"in an environment of its own: pip install '{PACKAGE}[label]', then "
    "pip install --no-deps monailabel pydicom-seg girder-client"
)
"""What to type: the repository has a script for it, an installation has not."""
