"""The comparison with rivals: statistics, scores, what goes on after an interruption, and the page."""

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from scipy import stats

from benchmarks.__main__ import main
from benchmarks.rivals.clock import Clock, read_clock
from benchmarks.rivals.networks import DEFAULT, SupervisedDynUNet, override, rival
from benchmarks.rivals.nnunet import same_plan, write_raw
from benchmarks.rivals.page import tables, write_docs
from benchmarks.rivals.record import check_same, gather, recorded
from benchmarks.rivals.schedule import schedule
from benchmarks.rivals.scores import of_classes, panoptic_quality
from benchmarks.rivals.statistics import by_patient, compare, interval
from benchmarks.rivals.training import items
from components.files import read_json
from scripts.bundle.find import find_bundle
from scripts.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")
PLAN = read_json(find_bundle("xlstm_hippocampus_mri_3d", "train.json") / "configs" / "train.json")


def test_intervals_and_tests():
    ours, other = {f"p{n}": 0.80 + 0.01 * n for n in range(8)}, {f"p{n}": 0.79 + 0.007 * n for n in range(1, 9)}
    found = compare(ours, other)
    shared = [f"p{n}" for n in range(1, 8)]
    assert found.patients == 7
    assert found.p == stats.wilcoxon([ours[n] for n in shared], [other[n] for n in shared]).pvalue
    assert found.difference == pytest.approx(np.mean([ours[n] - other[n] for n in shared]))
    assert compare(ours, ours).p is None
    values = np.random.default_rng(1).normal(0.8, 0.05, 400)
    mean = interval([*values, float("nan")])
    half = 1.96 * values.std() / 20
    assert (mean.low, mean.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    rows = [{"case": "a", "dice": 0.2}, {"case": "a", "dice": 0.4}, {"case": "b", "dice": None}]
    assert by_patient(rows, "dice") == {"a": pytest.approx(0.3)}


def test_scores():
    truth = np.zeros((12, 12), np.uint16)
    truth[1:5, 1:5], truth[7:11, 7:11] = 1, 2
    prediction = np.zeros_like(truth)
    prediction[1:5, 1:4], prediction[7:8, 7:8] = 7, 9
    assert panoptic_quality(prediction, truth) == pytest.approx(2 * 0.75 / 4)  # one match of IoU 12 / 16
    assert panoptic_quality(truth, truth) == 1
    assert panoptic_quality(truth * 0, truth * 0) is None
    first, second = of_classes((prediction > 0).astype(int), truth, ["a", "b"], [1.0, 1.0])
    assert first["dice"] == pytest.approx(2 * 12 / (16 + 13))
    assert (second["dice"], second["nsd"], second["hd95"]) == (0, 0, pytest.approx(np.hypot(12, 12)))


def test_a_schedule_keeps_both_budgets():
    for step, iterations, seconds in ((0.5, 1000, 100), (0.5, 30, 100), (50.0, 1000, 100)):
        found = schedule(step, iterations, seconds)
        count = found["epochs"] * found["length"]
        assert count == 4 or count <= min(iterations, seconds / step)
        assert count > 0.9 * min(iterations, seconds / step) or count == 4


def test_the_clock_goes_on_where_the_state_does(tmp_path):
    evaluator = Engine(lambda engine, batch: None)
    evaluator.add_event_handler(Events.COMPLETED, lambda e: e.state.metrics.update(val_mean_dice=0.5))

    def train(first, epochs):
        trainer = Engine(lambda engine, batch: sum(range(10000)))
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
        Clock(str(tmp_path / "clock.json"), evaluator).attach(trainer)
        if first:
            state = {"epoch_length": 3, "max_epochs": epochs, "iteration": 3 * first}
            trainer.load_state_dict(state)
        trainer.run([0] * 3, max_epochs=epochs)

    train(0, 3)
    before = read_clock(tmp_path / "clock.json")
    assert len(before["steps"]) == 9
    assert [row[0] for row in before["validations"]] == [3, 6, 9]
    assert min(before["steps"]) > 0
    train(2, 4)  # killed after the second epoch was saved
    after = read_clock(tmp_path / "clock.json")
    assert after["steps"][:6] == before["steps"][:6]
    assert len(after["steps"]) == 12
    assert [row[0] for row in after["validations"]] == [3, 6, 9, 12]


def test_networks_fit_the_pipeline():
    for name in DEFAULT:
        values = override(name, PLAN) if rival(name).base == "xlstm" else {}
        assert values.get("network_def", PLAN["network_def"])["_requires_"] == PLAN["network_def"]["_requires_"]
    assert override("swinunetr", PLAN)["patch_size"] == [32, 64, 32]
    assert override("dynunet+short", PLAN)["lr_scheduler"]["_target_"].endswith("OneCycleLR")
    with pytest.raises(ValueError, match="did you mean 'dynunet'"):
        rival("dynunit")
    stages = {"filters": [4, 8, 8, 8], "kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3}
    network = SupervisedDynUNet(2, 1, 3, **stages, res_block=True, deep_supervision=True, deep_supr_num=2)
    x = torch.zeros(2, 1, 32, 16)
    assert [tuple(y.shape[2:]) for y in network(x)] == [(32, 16), (16, 8), (8, 4)]
    assert len(network(x)) == len(PLAN["loss"]["weights"])
    assert network.eval()(x).shape == (2, 3, 32, 16)


@pytest.mark.parametrize("part", ["training", "validation"])
def test_the_lists_of_a_bundle_are_cut(part, tmp_path):
    cases = [{"image": f"i{n}.nii.gz", "label": f"l{n}.nii.gz"} for n in range(3)]
    (tmp_path / "datalist.json").write_text(json.dumps({"training": cases, "validation": cases, "test": cases}))
    for number, count in ((None, 3), (2, 2), (0, 0)):
        data = items(PLAN, {"training": "train", "validation": "validate"}[part], number)
        parser = ConfigParser({**PLAN, "dataset_dir": str(tmp_path), "some": data})
        assert len(parser.get_parsed_content("some")) == count


def test_nnunet_gets_the_same_cases_and_plan(tmp_path):
    lists = {
        part: [{"image": f"images/{part}.nii.gz", "label": f"labels/{part}.nii.gz"}] for part in ("training", "test")
    }
    lists["validation"] = [{"image": ["images/v0.nii.gz", "images/v1.nii.gz"], "label": "labels/v.nii.gz"}]
    for name, content in (
        ("datalist", lists),
        ("dataset", {"labels": {"0": "background", "1": "a"}, "modality": "MR"}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert write_raw(tmp_path / "raw", tmp_path) == {"train": ["training"], "val": ["v0"]}
    links = {path.relative_to(tmp_path / "raw").as_posix() for path in (tmp_path / "raw").glob("*/*")}
    assert {"imagesTr/v0_0001.nii.gz", "imagesTs/test_0000.nii.gz", "labelsTr/v0.nii.gz"} <= links
    spec = {"patch_size": [40, 56, 40], "batch_size": 2, **{k: PLAN["network_def"][k] for k in ("features", "strides")}}
    plans = {"configurations": {"3d_fullres": {"architecture": {"arch_kwargs": {"n_stages": 3}}}}}
    found = same_plan(plans, "3d_fullres", {**spec, "kernel_sizes": [3, 3, [1, 3, 3], 3]})
    kwargs = found["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert kwargs["strides"][:2] == [[1, 1, 1], [2, 2, 2]]
    assert kwargs["kernel_sizes"][2] == [1, 3, 3]
    assert kwargs["n_stages"] == len(kwargs["n_conv_per_stage"]) == 4


def record(folder, earlier=None):
    """A record of two networks on three patients, gathered from files, with one that failed."""
    rng = np.random.default_rng(0)
    for name, dice in (("bot", 0.8), ("dynunet", 0.7)):
        place = folder / name / "seed0"
        place.mkdir(parents=True)
        rows = [
            {"case": f"p{n}", "class": c, "dice": dice + 0.02 * rng.random(), "nsd": 0.9, "hd95": 1.5}
            for n in range(3)
            for c in "ab"
        ]
        for file, content in {
            "scores": rows,
            "clock": {"steps": [2.0] * 8, "validations": [[4, dice - 0.2], [8, dice]]},
            "schedule": {"step_seconds": 2.0, "epochs": 8, "length": 1},
            "training": {"peak_bytes": 2e9, "parameters": 4_000_000},
            "speed": {"convolution_rate": 139e9},
        }.items():
            (place / f"{file}.json").write_text(json.dumps(content))
    failed = folder / "segresnet" / "seed0"
    failed.mkdir(parents=True)
    (failed / "failed.json").write_text('{"reason": "it needs more memory than is free"}')
    settings = {"data": "D/toy", "iterations": 8, "cpu_seconds": 15.0, "validations": 2, "validation_cases": None}
    settings |= {"threads": 1, "batch_size": 2, "bundle": "", "instances": False}
    about = {"name": "toy", "cases": {"training": 5, "validation": 2, "test": 3}, "patch_size": [40, 56, 40]}
    about |= {"features": [16, 32], "batch_size": 2, "mixed": True, "cpus": ["a CPU"], "versions": {"torch": "2"}}
    return gather(folder, settings, about, earlier)


def test_the_page_is_made_of_the_records(tmp_path):
    found = record(tmp_path / "out")
    scores, classes, costs, differences, failed = tables(found)
    assert [row[:2] for row in scores.rows] == [("xLSTM-UNet Bot", "1"), ("DynUNet, residual", "1")]
    assert len(classes.rows) == 4
    assert costs.rows[0][2:5] == ("8", "16", "139")
    found["runs"][0].pop("convolution_rate")  # of records made before it was measured
    assert tables(found)[2].rows[0][4] == "—"
    assert 0.08 < float(differences.rows[0][1].split()[0]) < 0.12
    assert failed.notes == ["SegResNet, seed 0: it needs more memory than is free"]
    write_docs([found], tmp_path / "accuracy.md")
    page = (tmp_path / "accuracy.md").read_text()
    assert "--networks bot,dynunet --seeds 1" in page
    assert (tmp_path / "images/accuracy/toy_0.25.png").stat().st_size > 10_000


def test_a_comparison_is_continued_on_another_machine(tmp_path):
    """What the record holds stays as it is, what failed is tried again, and no place of a machine is in it."""
    first = record(tmp_path / "one")
    assert "D/toy" not in json.dumps(first)
    kept = {**first, "about": {**first["about"], "cpus": ["another CPU"]}}
    kept["runs"] = [{**run, "cpu_seconds": 99.0} for run in first["runs"] if run["network"] != "dynunet"]
    found = record(tmp_path / "two", kept)
    seconds = {run["network"]: run.get("cpu_seconds") for run in found["runs"]}
    assert seconds == {"bot": 99.0, "dynunet": 16.0, "segresnet": None}
    assert found["about"]["cpus"] == ["another CPU", "a CPU"]
    settings = recorded({"data": "E/toy", **first["settings"], "iterations": 9})
    with pytest.raises(UserError, match=r"toy\.json holds a comparison with --iterations 8: continue"):
        check_same(settings, first["settings"], tmp_path / "toy.json")


def test_a_folder_keeps_its_settings(tmp_path, capsys):
    (tmp_path / "settings.json").write_text('{"iterations": 8}')
    words = ["rivals", "--data", str(tmp_path), "--out", str(tmp_path), "--networks", "bot", "--iterations", "9"]
    with pytest.raises(SystemExit, match=r"holds a comparison with .*--iterations 8"):
        main(words)
    with pytest.raises(SystemExit, match=r"environment\.sh"):
        main([*words[:5], "--networks", "nnunet", "--nnunet", str(tmp_path / "python")])
