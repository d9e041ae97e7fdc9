"""The report on a training and an evaluation: one page with tables, curves and pictures."""
