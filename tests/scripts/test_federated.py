"""Federated training with NVIDIA FLARE."""

import csv
import json
import sys
from urllib.parse import unquote

import pytest
import torch

from scripts.cli import main
from tests import processes
from tests.bundles.workflow import ROOT
from tests.folders import folder

BUNDLE = ROOT / "bundles" / "msvm_acdc"
SETTINGS = {
    "network_def#features": [8, 16, 32, 64],
    "network_def#depths": [1, 1, 1, 1],
    "roi_size": [32, 32],
    "batch_size": 2,
    "num_workers": 0,
    "val_interval": 9,
}


def scanseg(*arguments, cwd):
    return processes.run_fresh(["scripts", *arguments], cwd)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Two data sets of 6 and 2 slices, the second in a folder with a space in its name."""
    with folder(tmp_path_factory, "federation") as work:
        done = scanseg("data", "sample", "--bundle", "msvm_acdc", "--out", "site a", cwd=work)
        assert done.returncode == 0, done.stderr
        (work / "b").mkdir()
        for entry in (work / "site a").iterdir():
            if entry.name != "datalist.json":
                (work / "b" / entry.name).symlink_to(entry)
        datalist = json.loads((work / "site a" / "datalist.json").read_text())
        for name, training in (("site a", datalist["training"][:6]), ("b", datalist["training"][20:22])):
            lists = {"training": training, "validation": datalist["validation"][:1], "test": []}
            (work / name / "datalist.json").write_text(json.dumps(lists))
        yield work


@pytest.fixture(scope="module")
def federation(sites):
    """Two rounds over both data sets."""
    pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed")
    places = ("--sites", f"{sites / 'site a'},b", "--out", "federation")
    done = scanseg(
        "federated", "simulate", BUNDLE, *places, "--rounds", 2, "--settings", json.dumps(SETTINGS), cwd=sites
    )
    if " " in sys.executable:
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert f"cannot start {sys.executable}, which has a space in its path" in done.stderr
        pytest.skip("NVIDIA FLARE needs a Python whose path has no space")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "has the weights of the best round" in done.stdout
    return sites / "federation"


def load(path):
    return torch.load(path, weights_only=True)


def test_every_site_trains_in_every_round(federation):
    for site in ("site-1", "site-2"):
        rows = list(csv.DictReader((federation / site / "history.csv").open()))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert float(rows[0]["learning_rate"]) == 5e-4
        assert float(rows[1]["learning_rate"]) == pytest.approx((5e-4 + 1e-6) / 2)  # the cosine spans both rounds


def test_average_is_weighted_by_iterations(federation, sites):
    """The first round again without a server; its average was validated in the second round, so it is the best."""
    import argparse

    from nvflare.client import FLModel

    from scripts.federated.client import make_algorithm, train_round

    initial, trained = load(federation / "initial.pt"), []
    for name in ("site a", "b"):
        arguments = argparse.Namespace(
            bundle=str(BUNDLE),
            dataset_dir=str(sites / name),
            output_dir=str(sites / "again"),
            epochs=1,
            settings={"max_epochs": 2, **SETTINGS},
        )
        algorithm = make_algorithm(arguments)
        algorithm.initialize({})
        trained.append(train_round(algorithm, FLModel(params=dict(initial))))
    steps = [result.meta["NUM_STEPS_CURRENT_ROUND"] for result in trained]
    assert steps == [3, 1]
    found = load(federation / "model.pt")
    assert found.keys() == initial.keys()
    first, second = (torch.cat([r.params[n].double().flatten() for n in found]) for r in trained)
    weighted, plain = (3 * first + second) / 4, (first + second) / 2
    # Trainings of other processes agree to rounding, which Adam enlarges where gradients are near zero.
    average = torch.cat([value.double().flatten() for value in found.values()])
    assert (average - weighted).norm() < 0.1 * (average - plain).norm()
    assert 0 <= trained[0].metrics["val_mean_dice"] <= 1


def test_exported_job_starts_from_given_weights(sites, tmp_path):
    pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed")
    torch.save({"weight": torch.arange(3.0)}, tmp_path / "weights.pt")
    done = scanseg(
        "federated", "export", BUNDLE, "--out", "job", "--clients", 3, "--weights", "weights.pt", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (config,) = (tmp_path / "job").rglob("config_fed_server.json")
    assert "initial.pt" in config.read_text()
    assert torch.equal(load(config.parents[1] / "custom" / "initial.pt")["weight"], torch.arange(3.0))
    (client,) = (tmp_path / "job").rglob("config_fed_client.json")
    assert f"--bundle {BUNDLE}" in unquote(client.read_text())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["simulate", BUNDLE, "--sites", "a", "--out", "o"], "--sites a is not a dataset_dir"),
        (["simulate", BUNDLE, "--sites", "one", "--out", "o"], "--sites has 1: give two data sets or more"),
        (["simulate", "nothing", "--sites", "one,one", "--out", "o"], "unknown bundle 'nothing'"),
        (["simulate", BUNDLE, "--sites", "one,one", "--out", "one"], "one exists and is not empty"),
        (
            ["simulate", BUNDLE, "--sites", "one,one", "--out", "o", "--rounds", 0],
            "--rounds needs a whole number from 1 on",
        ),
        (
            ["simulate", BUNDLE, "--sites", "one,one", "--out", "o", "--settings", "x"],
            "--settings needs values by id",
        ),
        (["export", BUNDLE, "--out", "o", "--weights", "w.pt"], "--weights w.pt does not exist"),
    ],
)
def test_mistakes_are_told(arguments, told, tmp_path, monkeypatch, capsys):
    pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "datalist.json").write_text("{}")
    assert main(["federated", *map(str, arguments)]) == 2
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
