"""Scores of an evaluator as files."""

import csv
import json

import numpy as np
import pytest
import torch
from medpy.metric import binary
from monai.data import MetaTensor, list_data_collate
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted, Identityd

from components.handlers import ScoreWriter
from tests import processes

NAMES = ["liver", "spleen"]
SPACING = (2.0, 3.0, 5.0)


class Shift(torch.nn.Module):
    """Answers with the one-hot image, moved by one voxel."""

    def forward(self, x):
        labels = torch.roll(x.as_tensor() if isinstance(x, MetaTensor) else x, 1, dims=2)[:, 0].long()
        return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def case(name, seed):
    labels = np.kron(np.random.default_rng(seed).integers(0, 3, (1, 3, 3, 3)), np.ones((1, 3, 3, 3)))
    meta = {"filename_or_obj": f"somewhere/images/{name}.nii.gz"}
    tensor = MetaTensor(torch.from_numpy(labels).float(), affine=torch.diag(torch.tensor([*SPACING, 1.0])), meta=meta)
    return {"image": tensor, "label": tensor.clone()}


def evaluator(handler, cases, postprocessing=None, **kwargs):
    loader = torch.utils.data.DataLoader(cases, batch_size=2, collate_fn=list_data_collate)
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=Shift(),
        postprocessing=postprocessing or AsDiscreted(keys="pred", argmax=True),
        val_handlers=[handler],
        **kwargs,
    )


def test_files_hold_the_scores_of_all_cases(tmp_path):
    cases = [case(f"case{i}", i) for i in range(3)]
    engine = evaluator(ScoreWriter(str(tmp_path / "out"), NAMES), cases)
    engine.run()
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert [(row["case"], row["class"]) for row in rows] == [(f"case{i}", n) for i in range(3) for n in NAMES]
    dices = []
    for row, (item, label) in zip(rows, ((c, k) for c in cases for k in (1, 2)), strict=True):
        truth = item["label"].numpy()[0] == label
        prediction = np.roll(truth, 1, axis=0)
        dices.append(binary.dc(prediction, truth))
        assert float(row["strict_dice"]) == pytest.approx(dices[-1], rel=1e-5)
        assert float(row["strict_hd95_mm"]) == pytest.approx(binary.hd95(prediction, truth, SPACING), rel=1e-5)
        assert float(row["published_hd95_voxels"]) == pytest.approx(binary.hd95(prediction, truth), rel=1e-5)
        assert float(row["truth_ml"]) == pytest.approx(truth.sum() * 0.03, rel=1e-5)
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert summary["cases"] == 3
    assert summary["mean"]["strict"]["dice"] == pytest.approx(np.mean(dices))
    assert list(summary["classes"]) == NAMES
    assert engine.state.metrics["strict_dice"] == pytest.approx(np.mean(dices))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "evaluation.json", "metrics.csv", "metrics.json",
    ]  # fmt: skip


def test_second_run_starts_afresh(tmp_path):
    engine = evaluator(ScoreWriter(str(tmp_path), NAMES), [case("a", 0)])
    engine.run()
    first = (tmp_path / "metrics.csv").read_text()
    engine.run(global_epoch=2)
    assert (tmp_path / "metrics.csv").read_text() == first


def test_channels_are_refused_with_the_remedy(tmp_path):
    engine = evaluator(ScoreWriter(str(tmp_path), NAMES), [case("a", 0)], Identityd(keys="pred"))
    with pytest.raises(ValueError, match=r"'pred' of .*a.nii.gz has shape \(3, 9, 9, 9\).*AsDiscreted"):
        engine.run()
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["error"].startswith("ValueError: the 'pred' of")


def test_tensor_without_affine_is_refused(tmp_path):
    item = {key: value.as_tensor() for key, value in case("a", 0).items()}
    with pytest.raises(ValueError, match="load both with LoadImaged"):
        evaluator(ScoreWriter(str(tmp_path), NAMES), [item]).run()


def test_batches_are_refused(tmp_path):
    with pytest.raises(ValueError, match="decollate=True"):
        evaluator(ScoreWriter(str(tmp_path), NAMES), [case("a", 0)], decollate=False).run()


TWO_PROCESSES = """
import sys
import torch.distributed as dist
from components.runs import end_group
from tests.handlers.test_scores import NAMES, ScoreWriter, case, evaluator
dist.init_process_group("gloo")
cases = [case(f"case{i}", i) for i in range(3)]
mine = [cases[0], cases[1]] if dist.get_rank() == 0 else [cases[2], cases[0]]
evaluator(ScoreWriter(sys.argv[1], NAMES), mine).run()
end_group()
"""


def test_two_processes_write_one_table(tmp_path):
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    done = processes.run(["two", tmp_path / "out"], tmp_path, 2)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert [row["case"] for row in rows[::2]] == ["case0", "case1", "case2"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["cases"] == 3
