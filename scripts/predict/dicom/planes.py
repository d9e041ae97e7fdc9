"""The planes of DICOM files: what single slices say of themselves, and frames in their functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

KEYS = {
    "TemporalPositionIndex": "FrameContentSequence",
    "TemporalPositionIdentifier": "TemporalPositionSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "EchoTime": "",
    "EchoNumbers": "",
    "DiffusionBValue": "MRDiffusionSequence",
    "InversionTime": "",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "TriggerTime": "",
    "ComplexImageComponent": "MRImageFrameTypeSequence",
    "FrameType": "MRImageFrameTypeSequence",
    "ImageType": "",
    "AcquisitionNumber": "",
}
"""Attributes that can distinguish the volumes of a series, with the functional group that has them."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice.

    Args:
        dataset: the file that has it, without its pixels.
        frame: which of its frames it is, from 0 on.
        position: of the centre of the first pixel, mm (LPS).
        orientation: directions of the rows and of the columns, 6 numbers.
        spacing: distance of the rows and of the columns, mm.
        thickness: distance to a next slice as the file says, mm.
        slope: of the rescaling.
        intercept: of the rescaling.
        keys: what can distinguish it from other slices at the same position.
        pixels: rows × columns, rescaled.
    """

    dataset: Dataset
    frame: int
    position: np.ndarray
    orientation: np.ndarray
    spacing: np.ndarray
    thickness: float
    slope: float
    intercept: float
    keys: dict[str, Any] = field(repr=False)
    pixels: np.ndarray = field(repr=False)

    @property
    def normal(self) -> np.ndarray:
        """Unit vector at right angles to rows and columns."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def planes_of(datasets: Sequence[Dataset], pixels: Sequence[np.ndarray]) -> list[Plane]:
    """All planes of some files.

    Args:
        datasets: the files.
        pixels: of each file frames × rows × columns, not rescaled yet.

    Raises:
        ValueError: that names the attribute which is missing.
    """
    planes, lacking = [], dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"), 0)
    count = sum(map(len, pixels))
    for dataset, frames in zip(datasets, pixels, strict=True):
        if len(frames) > 1 and not dataset.get("PerFrameFunctionalGroupsSequence"):
            raise ValueError(
                f"it has {len(frames)} frames but no PerFrameFunctionalGroupsSequence, so their positions are unknown"
            )
        for number, frame in enumerate(frames):
            found = {
                "ImagePositionPatient": _value(dataset, number, "PlanePositionSequence", "ImagePositionPatient"),
                "ImageOrientationPatient": _value(
                    dataset, number, "PlaneOrientationSequence", "ImageOrientationPatient"
                ),
                "PixelSpacing": _value(dataset, number, "PixelMeasuresSequence", "PixelSpacing"),
            }
            missing = [name for name, value in found.items() if value is None]
            for name in missing:
                lacking[name] += 1
            if not missing:
                planes.append(_plane(dataset, number, *map(_numbers, found, found.values()), frame))
    for name, times in lacking.items():
        if times:
            raise ValueError(f"{times} of {count} slices have no {name}, so their positions are unknown")
    return planes


def _plane(
    dataset: Dataset, number: int, position: np.ndarray, orientation: np.ndarray, spacing: np.ndarray, frame: np.ndarray
) -> Plane:
    lengths = np.linalg.norm(orientation.reshape(2, 3), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(orientation[:3] @ orientation[3:]) > 0.01:
        raise ValueError(f"ImageOrientationPatient {orientation.tolist()} is not two directions at right angles")
    if not (spacing > 0).all():
        raise ValueError(f"PixelSpacing {spacing.tolist()} is not above 0")
    transformation = "PixelValueTransformationSequence"
    slope = _value(dataset, number, transformation, "RescaleSlope")
    intercept = _value(dataset, number, transformation, "RescaleIntercept")
    slope = float(slope or 1)  # 0 would leave no image: as other software has it, it is not a slope
    intercept = float(intercept or 0)
    thickness = _value(dataset, number, "PixelMeasuresSequence", "SpacingBetweenSlices", "SliceThickness")
    return Plane(
        dataset=dataset,
        frame=number,
        position=position,
        orientation=(orientation.reshape(2, 3) / lengths[:, None]).ravel(),
        spacing=spacing,
        thickness=abs(float(thickness or 0)) or 1.0,
        slope=slope,
        intercept=intercept,
        keys=_keys(dataset, number),
        pixels=frame if (slope, intercept) == (1, 0) else frame * np.float32(slope) + np.float32(intercept),
    )


def _keys(dataset: Dataset, frame: int) -> dict[str, Any]:
    found = {name: _value(dataset, frame, group, name) for name, group in KEYS.items()}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return float(value)
    return "\\".join(map(str, value)) if hasattr(value, "__iter__") and not isinstance(value, str) else str(value)


def _numbers(name: str, value: Any) -> np.ndarray:
    length = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6}.get(name, 2)
    numbers = np.ravel(np.array(value, dtype=float))
    if numbers.shape != (length,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} has the value {value}, but {length} numbers are needed")
    return numbers


def _value(dataset: Dataset, frame: int, group: str, *names: str) -> Any:
    """The first of some attributes that a frame has: in its own group, in the shared one, or in the file."""
    places = []
    for sequence, item in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(sequence) or ()
        if group and len(groups) > item:
            places += list(groups[item].get(group) or ())[:1]
    for place in (*places, dataset):
        for name in names:
            value = place.get(name)
            if value is not None and value != "" and (not hasattr(value, "__len__") or len(value)):
                return value
    return None
