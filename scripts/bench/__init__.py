"""``bench``: how fast our kernels, networks and bundles are, how much memory they take, and beside what."""
