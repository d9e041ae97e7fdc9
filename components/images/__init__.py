"""Everything about image files: which there are, how each is read, and what can be wrong with it."""
