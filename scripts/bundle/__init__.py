"""Bundles: where they are, what is in one, and copies of them to change."""
