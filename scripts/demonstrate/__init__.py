"""Trainings of some minutes on real samples, and what they reach."""
