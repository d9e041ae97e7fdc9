"""The command line around the bundles: ``scanseg`` or ``python -m scripts``."""
