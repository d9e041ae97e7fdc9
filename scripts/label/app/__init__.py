"""Additions to MONAI Label's app for bundles.

Importing this package makes MONAI Label importable where torchvision is not installed.
"""

from .stand_in import provide_torchvision

provide_torchvision()
