"""The model zoo: reproducible zips of the bundles, the index of their versions, safe downloads, and all checks."""
