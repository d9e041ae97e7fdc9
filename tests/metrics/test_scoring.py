"""The published evaluations beside the strict scores: organs within a range of slices, frames, and their tables."""

import json
import math

import numpy as np
import pytest
import torch
from medpy.metric import binary
from monai.bundle import ConfigParser
from monai.data import MetaTensor, list_data_collate
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from components.handlers import ScoreWriter
from components.metrics import FrameScoring, OrganScoring, ScoreTable, nsd

SPACING = (1.0, 1.5, 4.0)


def vessel(first, last, shift=0):
    labels = np.zeros((12, 12, 10), int)
    labels[3 + shift : 8 + shift, 4:9, first:last] = 1
    return labels


class TestOrgans:
    def score(self, prediction, truth, range_labels=(1,)):
        return OrganScoring([2.0], range_labels).score(prediction, truth, 1, SPACING)

    def test_range_ends_before_the_last_slice_of_the_ground_truth(self):
        """Truth in slices 2 to 6, prediction from 0 to 9 and wrong in slice 6: only 2 to 5 are looked at."""
        truth, prediction = vessel(2, 7), vessel(0, 10, shift=1)
        prediction[..., 6] = 0
        scores = self.score(prediction, truth)
        p, t = prediction[..., 2:6] == 1, truth[..., 2:6] == 1
        assert scores["published_dice"] == pytest.approx(binary.dc(p, t))
        assert scores["published_nsd"] == pytest.approx(nsd(p, t, 2.0, SPACING))
        assert scores["strict_dice"] == pytest.approx(binary.dc(prediction, truth))
        assert scores["published_dice"] > scores["strict_dice"]

    def test_other_organs_are_scored_as_a_whole(self):
        truth, prediction = vessel(2, 7), vessel(0, 10, shift=1)
        scores = self.score(prediction, truth, range_labels=())
        assert scores["published_dice"] == scores["strict_dice"] == pytest.approx(binary.dc(prediction, truth))
        assert scores["published_nsd"] == pytest.approx(nsd(prediction, truth, 2.0, SPACING))

    def test_slice_axis(self):
        truth, prediction = vessel(2, 7), vessel(0, 10, shift=1)
        last = OrganScoring([2.0], [1]).score(prediction, truth, 1, SPACING)
        turned = [np.moveaxis(labels, 2, 0) for labels in (prediction, truth)]
        first = OrganScoring([2.0], [1], slice_axis=0).score(*turned, 1, (SPACING[2], *SPACING[:2]))
        assert first["published_dice"] == last["published_dice"]
        assert first["published_nsd"] == pytest.approx(last["published_nsd"])

    @pytest.mark.parametrize(
        ("prediction", "truth", "published", "strict"),
        [
            (vessel(0, 0), vessel(0, 0), (1, 1), math.nan),
            (vessel(2, 5), vessel(0, 0), (0, 0), 0),
            (vessel(0, 0), vessel(2, 5), (0, 0), 0),
            (vessel(7, 9), vessel(2, 5), (0, 0), 0),  # beside the range
            (vessel(2, 3), vessel(2, 3), (1, 1), 1),  # the only slice is the last, but is scored
        ],
        ids=["both empty", "invented", "missed", "outside of the range", "one slice"],
    )
    def test_empty(self, prediction, truth, published, strict):
        scores = self.score(prediction, truth)
        assert (scores["published_dice"], scores["published_nsd"]) == pytest.approx(published, nan_ok=True)
        assert scores["strict_dice"] == pytest.approx(strict, nan_ok=True)

    def test_tolerance_is_that_of_the_organ(self):
        truth = np.where(vessel(2, 7) == 1, 2, 0)
        prediction = np.where(vessel(2, 7, shift=2) == 1, 2, 0)
        narrow, wide = (OrganScoring([9.0, t]).score(prediction, truth, 2, SPACING)["published_nsd"] for t in (1, 2))
        assert narrow < 1
        assert wide == 1

    def test_arguments_must_fit_the_classes(self):
        with pytest.raises(ValueError, match="2 numbers for 1 classes"):
            ScoreTable(["aorta"], OrganScoring([1.0, 2.0]))
        with pytest.raises(ValueError, match=r"range_labels \[4\] .* 1 to 1"):
            ScoreTable(["aorta"], OrganScoring([1.0], [4]))


def frame(*labels):
    """A frame with a square for each label, side by side."""
    image = np.zeros((12, 40), int)
    for place, label in enumerate(labels):
        image[3:9, 1 + 10 * place : 8 + 10 * place] = label
    return image


def test_frames_are_averaged_over_the_labels_in_either_map():
    table = ScoreTable(["forceps", "driver", "probe"], FrameScoring())
    first, second = (frame(1, 2), frame(1, 3)), (frame(2), np.roll(frame(2), 2, 0))
    table.add("a", *first, (1.0, 1.0))
    table.add("b", *second, (1.0, 1.0))
    table.add("nothing", frame(), frame(), (1.0, 1.0))
    dice_b = binary.dc(second[0], second[1])
    nsd_b = nsd(second[0][..., None], second[1][..., None], 2)
    mean = table.summary()["mean"]
    assert mean["published"]["dice"] == pytest.approx((1 / 3 + dice_b) / 2)  # one of three labels is right in the first
    assert mean["published"]["nsd"] == pytest.approx((1 / 3 + nsd_b) / 2)
    assert mean["strict"]["dice"] == pytest.approx((1 + (0 + dice_b) / 2 + 0) / 3)  # over the frames of each class
    assert table.summary()["scores"]["published"] == ["dice", "nsd"]
    assert table.csv().splitlines()[0].split(",")[-4:] == [
        "published_dice",
        "published_nsd",
        "truth_ml",
        "prediction_ml",
    ]


def test_writer_takes_a_scoring_from_a_configuration(tmp_path):
    config = {
        "_target_": "components.handlers.ScoreWriter",
        "output_dir": str(tmp_path),
        "class_names": ["aorta"],
        "scoring": {"_target_": "components.metrics.OrganScoring", "tolerances_mm": [2], "range_labels": [1]},
    }
    writer = ConfigParser({"w": config}).get_parsed_content("w")
    assert isinstance(writer, ScoreWriter)
    labels = vessel(2, 7)
    meta = {"filename_or_obj": "images/case1.nii.gz"}
    volume = MetaTensor(
        torch.from_numpy(labels[None]).float(), affine=torch.diag(torch.tensor([*SPACING, 1])), meta=meta
    )
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=torch.utils.data.DataLoader([{"image": volume, "label": volume}], collate_fn=list_data_collate),
        network=lambda x: torch.nn.functional.one_hot(x.as_tensor()[:, 0].long(), 2).movedim(-1, 1),
        postprocessing=AsDiscreted("pred", argmax=True),
        val_handlers=[writer],
    )
    engine.run()
    assert engine.state.metrics["published_nsd"] == 1
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert summary["mean"]["published"] == {"dice": 1, "nsd": 1}
    assert "arXiv 2401.04722" in summary["conventions"]["published"]
