"""What the folds of a cross-validation tell together."""
