"""MONAI Label serves bundles: ``label``, and the additions to MONAI Label's own app for bundles."""
