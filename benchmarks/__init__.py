"""What the project measures of itself: the bars that it holds itself to, MONAI's networks beside ours, and the page.

For developers, from a clone: ``python -m benchmarks --help``. Nothing of it is installed.
"""
