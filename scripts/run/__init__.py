"""Runs of bundles by MONAI's own command."""
