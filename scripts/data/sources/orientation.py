"""Where the axes of abdominal label maps point to, told by the places of the organs."""

from __future__ import annotations

import numpy as np

from ..labels import class_number

RADIOLOGICAL = ("P", "L")
"""Rows to posterior, columns to the patient's left."""
CLEAR = 2.0
"""Factor by which the organs must be further apart along one axis than along the other."""
FAR = 0.1
"""Least distance between them, as a fraction of the image's extent."""

LEFTWARDS = (("liver", "spleen"), ("right kidney", "left kidney"))
BACKWARDS = (("stomach", "left kidney"), ("pancreas", "right kidney"), ("pancreas", "spleen"))


def axes_of_organs(*volumes: np.ndarray) -> tuple[str, str] | None:
    """Where rows and columns point to.

    The liver lies to the right of the spleen, and stomach and pancreas in front of the kidneys.

    Args:
        volumes: label maps of msvm_synapse, rows × columns × slices, all in the same orientation.

    Returns:
        Letters such as ``("P", "L")`` for rows to posterior and columns to the patient's left; None if the organs
        do not show it.
    """
    left, back = _direction(volumes, LEFTWARDS), _direction(volumes, BACKWARDS)
    axis_left, axis_back = (int(np.argmax(np.abs(vector))) for vector in (left, back))
    for vector, axis in ((left, axis_left), (back, axis_back)):
        if abs(vector[axis]) < max(CLEAR * abs(vector[1 - axis]), FAR):
            return None
    if axis_left == axis_back:
        return None
    letters = ["", ""]
    letters[axis_left] = "L" if left[axis_left] > 0 else "R"
    letters[axis_back] = "P" if back[axis_back] > 0 else "A"
    return letters[0], letters[1]


def _direction(volumes: tuple[np.ndarray, ...], organs: tuple[tuple[str, str], ...]) -> np.ndarray:
    distances = []
    for labels in volumes:
        for start, end in organs:
            places = [np.argwhere(labels == class_number("msvm_synapse", name))[:, :2] for name in (start, end)]
            if all(len(place) for place in places):
                distances.append((places[1].mean(0) - places[0].mean(0)) / labels.shape[:2])
    return np.mean(distances, axis=0) if distances else np.zeros(2)
