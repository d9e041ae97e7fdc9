"""Scores, postprocessing and comparison of bundles over the folds of a cross-validation."""
