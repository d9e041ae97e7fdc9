"""``new``: a bundle for a data set of one's own, planned from what was measured in it."""
