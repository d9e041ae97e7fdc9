"""Our networks and their rivals, trained on one data set with one budget, and what came out."""
