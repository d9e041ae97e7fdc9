"""Data sets: ready samples and the folder that the bundles read."""
