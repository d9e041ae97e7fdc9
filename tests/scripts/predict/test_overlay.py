"""Pictures of predictions."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from components.transforms.instances import instances_of
from scripts.predict.command import predict
from scripts.predict.overlay import overlay
from scripts.predict.predictor import Prediction
from scripts.predict.reading import Given, GivenPicture, Loaded


def changed(drawn, image):
    """Where a picture differs from the image in its colours."""
    return np.abs(np.asarray(drawn).astype(int) - image).max(axis=-1) > 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_objects_are_drawn_where_they_are(orientation):
    from components.images.exif import stored

    shown = np.full((30, 50, 3), 100, np.uint8)
    labels = np.zeros((30, 50), np.uint16)
    labels[5:12, 10:20], labels[5:12, 20:30] = 3, 706
    loaded = Loaded((30, 50), GivenPicture(Image.fromarray(shown)), orientation=orientation)
    drawn = overlay(Prediction({"pred": stored(labels, orientation)}, {}), loaded)
    assert drawn.size == (50, 30)
    np.testing.assert_array_equal(changed(drawn, shown), labels > 0)
    array = np.asarray(drawn).astype(int)
    inner, outline = array[8, 15], array[5, 15]
    assert np.abs(outline - 100).sum() > np.abs(inner - 100).sum()  # the outline is opaque
    np.testing.assert_array_equal(array[8, 19], outline)  # and it parts two objects that touch


def test_slices_of_a_volume_are_those_with_most_labels():
    image = nib.Nifti1Image(
        np.random.default_rng(0).normal(100, 5, (20, 30, 10)).astype(np.float32), np.diag([1, 1, 3, 1])
    )
    labels = np.zeros((20, 30, 10), np.uint8)
    labels[4:9, 6:12, 7] = 1
    loaded = Loaded(image.shape, Given(image), image)
    drawn = np.asarray(overlay(Prediction({"pred": labels}, {}, image.affine), loaded)).astype(int)
    coloured = (drawn.max(axis=-1) - drawn.min(axis=-1)) > 20
    axial = coloured[:, : round(384 * 20 / 30)]
    # Of 20 × 30 mm, of which 5 × 6 mm are labelled: columns run to the left, rows to posterior.
    assert axial.mean() == pytest.approx(5 * 6 / (20 * 30), rel=0.1)
    assert drawn.shape[1] == 256 + 4 + 256 + 4 + 384


def test_command_writes_objects_and_their_picture(nuclei, tmp_path, arguments):
    Image.fromarray(nuclei).save(tmp_path / "case.png")
    out = tmp_path / "out"
    assert predict(input=str(tmp_path / "case.png"), output=str(out), overlay=True, **arguments("xlstm_cells")) == 0
    assert {path.name for path in out.iterdir()} == {
        "case_pred.png",
        "case_overlay.png",
        "case_pred.json",
        "labels.json",
    }
    objects = np.asarray(Image.open(out / "case_pred.png"))
    assert objects.dtype == np.uint16
    assert objects.max() == len(np.unique(objects)) - 1 == instances_of(objects > 0).max()
    with Image.open(out / "case_overlay.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (80, 48))
    assert json.loads((out / "labels.json").read_text()) == {"0": "background", "1": "objects, numbered from 1 on"}
