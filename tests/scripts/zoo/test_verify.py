"""All checks on our bundles, and strangers' zips of which nothing may run."""

import io
import json
import logging.config
import os
import pickle
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, download

from scripts.cli import main
from scripts.zoo.run_checks import CHECKS as RUNNING_CHECKS
from scripts.zoo.verify import EXPORTS, RUNNING, SCHEMA, check_bundle
from tests.bundles.workflow import BUNDLES, KINDS, ROOT
from tests.scripts.zoo.conftest import contents, raw_zip, tampered

DOWNLOADED = [*KINDS[:2], "xlstm_nuclei"]
"""One of each kind, the last with its weights; they make every check."""
OWN = ["msvm_acdc", *sorted({*BUNDLES} - {*DOWNLOADED})]
"""Those that are checked in the repository: the others, which have the same code, and one of these."""
STATIC = ["files", "version", "logging", "configs", "weights"]
DOWNLOAD = ["files", "version", "sums", "logging", "configs", "weights", "code"]


def outcome(*words):
    """Results of a target by check, as (status, why)."""
    return {result.check: (result.status, result.why) for result in check_bundle(*words)}


def test_the_names_of_the_checks_are_those_of_the_program():
    assert list(RUNNING) == list(RUNNING_CHECKS)


def grouped(names):
    return pytest.mark.parametrize("bundle", [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in names])


@grouped(OWN)
def test_a_bundle_of_the_repository(bundle):
    checks = ["verify_metadata", "train properties", "inference properties"]
    found = outcome(bundle, checks)
    assert {name: result for name, result in found.items() if result[0] != "ok"} == {}
    assert list(found) == [*STATIC, *checks]


@grouped(DOWNLOADED)
def test_a_bundle_that_monai_downloaded(bundle, zips, server, tmp_path):
    for package in ("jsonschema", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    server.files[f"/{zips[bundle].name}"] = zips[bundle].read_bytes()
    download(bundle, url=f"{server.url}/{zips[bundle].name}", bundle_dir=str(tmp_path), progress=False)
    found = outcome(str(tmp_path / bundle), RUNNING, SCHEMA, "torchscript")
    assert {name: result for name, result in found.items() if result[0] != "ok"} == {}
    assert list(found) == [*DOWNLOAD, *RUNNING]
    for name in EXPORTS:
        difference, largest = map(float, re.findall(r"[\d.e-]+(?=,|$)", found[name][1]))
        assert difference <= 1e-4 * max(1, largest)


def test_the_copy_in_a_zip_is_the_one_that_is_used(zips, tmp_path):
    """A zip whose components are broken fails, although those of the repository are sound."""
    module = "components/networks/__init__.py"
    source = contents(zips["msvm_acdc"])[f"msvm_acdc/{module}"]
    changes = {module: source + b"\nraise ValueError('broken on purpose')\n"}
    broken = tampered(zips["msvm_acdc"], tmp_path / "msvm_acdc_v0.1.0.zip", changes)
    found = outcome(str(broken), ["verify_net_in_out"], SCHEMA, "torchscript", True)
    assert found["code"] == ("ok", "")
    status, why = found["verify_net_in_out"]
    assert status == "FAILED"
    assert "broken on purpose" in why


def test_weights_of_a_zip_are_the_ones_that_are_loaded(zips, tmp_path):
    """Weights that do not fit the network are noticed."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    origin = {"kind": "sample-trained", "source": "nothing", "licence": "Apache-2.0"}
    changes = {"models/model.pt": buffer.getvalue(), "models/weights.json": json.dumps(origin).encode()}
    path = tampered(zips["msvm_acdc"], tmp_path / "msvm_acdc_v0.1.0.zip", changes)
    found = outcome(str(path), ["verify_net_in_out"])
    assert found["weights"] == ("ok", "")
    assert found["verify_net_in_out"][0] == "FAILED"
    assert "Missing key" in found["verify_net_in_out"][1]


class Canary:
    """An object whose unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def strangers(path, canary):
    """Files to change in a zip so that a careless loader runs a command; by kind, with the check that must notice."""
    command = f"touch {canary}"
    config = json.loads(contents(path)["msvm_acdc/configs/inference.json"])
    metadata = json.loads(contents(path)["msvm_acdc/configs/metadata.json"])
    package = contents(path)["msvm_acdc/components/__init__.py"]
    buffer = io.BytesIO()
    torch.save({"state": Canary(canary)}, buffer)
    origin = {"kind": "published", "source": "a friend", "licence": "MIT"}
    logging_conf = (
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\nlevel=INFO\nhandlers=h\n"
        f"[handler_h]\nclass=__import__('os').system('{command}') or logging.StreamHandler\nargs=(sys.stdout,)\n"
    )
    arguments = logging_conf.replace(f"__import__('os').system('{command}') or logging.StreamHandler", "StreamHandler")
    arguments = arguments.replace("(sys.stdout,)", f"(os.system('{command}') and None,)")

    def with_config(**changes):
        return {"configs/inference.json": json.dumps({**config, **changes}).encode()}

    return {
        "pickle": (
            "weights",
            {"models/model.pt": buffer.getvalue(), "models/weights.json": json.dumps(origin).encode()},
        ),
        "old pickle": (
            "weights",
            {"models/model.pt": pickle.dumps(Canary(canary)), "models/weights.json": json.dumps(origin).encode()},
        ),
        "second pickle": ("weights", {"models/other.pt": buffer.getvalue()}),
        "expression": ("configs", with_config(device=f"$os.system('{command}')")),
        "target": ("configs", with_config(device={"_target_": "os.system", "command": command})),
        "import": ("configs", with_config(imports=[f"$import os\nos.system('{command}')"])),
        "initialize": ("configs", with_config(initialize=[f"$__import__('os').system('{command}')"])),
        "metadata": (
            "configs",
            {"configs/metadata.json": json.dumps({**metadata, "task": f"$os.system('{command}')"}).encode()},
        ),
        "logging class": ("logging", {"configs/logging.conf": logging_conf.encode()}),
        "logging arguments": ("logging", {"configs/logging.conf": arguments.encode()}),
        "code": ("code", {"components/__init__.py": package + f"\nimport os\nos.system('{command}')".encode()}),
        "more code": ("code", {"components/more.py": f"import os\nos.system('{command}')".encode()}),
        "yaml": ("files", {"configs/train.yaml": b"a: $os.system('x')"}),
        "script": ("files", {"scripts/evil.py": f"import os\nos.system('{command}')".encode()}),
    }


STRANGERS = [
    "pickle", "old pickle", "second pickle", "expression", "target", "import", "initialize", "metadata",
    "logging class",
    "logging arguments", "code", "more code", "yaml", "script",
]  # fmt: skip


@pytest.mark.parametrize("kind", STRANGERS)
def test_nothing_of_a_stranger_runs(kind, zips, tmp_path, capsys):
    canary = tmp_path / "canary"
    check, changes = strangers(zips["msvm_acdc"], canary)[kind]
    path = tampered(zips["msvm_acdc"], tmp_path / "msvm_acdc_v0.1.0.zip", changes)
    assert main(["zoo", "verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("  FAILED")]
    assert [line.split()[1] for line in failed] == [f"{check}:"]
    assert sum("nothing is run after a failure above" in line for line in lines) == len(RUNNING)
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["pickle", "expression", "logging arguments"])
def test_a_careless_loader_would_have_run_it(kind, zips, tmp_path):
    """The examples above are dangerous indeed."""
    canary = tmp_path / "canary"
    _, changes = strangers(zips["msvm_acdc"], canary)[kind]
    (name, data), *_ = changes.items()
    (tmp_path / "file").write_bytes(data)
    if kind == "pickle":
        torch.load(tmp_path / "file", weights_only=False)
    elif kind == "expression":
        parser = ConfigParser(json.loads(data))
        parser.get_parsed_content("imports")
        parser.get_parsed_content("device")
    else:
        before = logging.getLogger().handlers[:]
        logging.config.fileConfig(str(tmp_path / "file"), {"__file__": name}, disable_existing_loggers=False)
        logging.getLogger().handlers[:] = before
    assert canary.exists()


def test_a_zip_that_climbs(tmp_path, capsys):
    path = raw_zip(tmp_path / "tiny_v0.1.0.zip", ("tiny/LICENSE", b""), ("tiny/../../../canary", b"x"))
    assert main(["zoo", "verify", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "FAILED   zip: " in lines[1]
    assert "can lead out of its folder" in lines[1]
    assert not list(tmp_path.rglob("canary"))
    assert not (Path(tempfile.gettempdir()) / "canary").exists()


@pytest.mark.parametrize(
    ("changes", "check", "told"),
    [
        ({"LICENSE": None}, "files", "LICENSE missing"),
        (
            {"docs/data_license.txt": None, "docs/README.md": None},
            "files",
            "docs/README.md, docs/data_license.txt missing",
        ),
        ({"configs/metadata.json": b'{"version": "9.0.0", "changelog": {}}'}, "version", "no entry for version 9.0.0"),
        (
            {"components/__init__.py": b"__version__ = '3.0.0'"},
            "version",
            "requires components 0.1.0, but they are 3.0.0",
        ),
        ({"models/weights.json": b'{"kind": "published", "source": "x", "licence": "y"}'}, "weights", "does not fit"),
        ({"models/weights.json": b'{"kind": "good"}'}, "weights", "names no kind"),
        ({"models/model.pt": b"text"}, "weights", "weights"),
        ({"configs/logging.conf": b"[handler_x]\nclass=os.system\n"}, "logging", "could run code"),
        ({"configs/logging.conf": b"[handler_x]\nclass=handlers.SocketHandler\nargs=open('x')\n"}, "logging", "args="),
        ({"configs/logging.conf": b"no section"}, "logging", "cannot be read"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_missing_or_wrong_is_told(changes, check, told, zips, tmp_path):
    found = outcome(str(tampered(zips["msvm_acdc"], tmp_path / "msvm_acdc_v0.1.0.zip", changes)))
    status, why = found[check]
    assert status == "FAILED"
    assert told in why
    assert "\n" not in why


def test_a_folder_that_was_changed_after_the_download(zips, tmp_path):
    shutil.unpack_archive(zips["msvm_acdc"], tmp_path)
    folder = tmp_path / "msvm_acdc"
    assert outcome(str(folder))["sums"] == ("ok", "")
    (folder / "configs" / "mine.json").write_text("{}")
    assert outcome(str(folder))["sums"] == ("FAILED", "configs/mine.json is not in SHA256SUMS")
    (folder / "configs" / "mine.json").unlink()
    (folder / "docs" / "README.md").write_text("mine")
    assert outcome(str(folder))["sums"] == ("FAILED", "differs from SHA256SUMS: docs/README.md")


def test_a_bundle_elsewhere_uses_the_installed_components(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(ROOT / "bundles" / "msvm_acdc", folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    found = outcome(str(folder), ["load with a network"])
    assert list(found) == [*STATIC, "load with a network"]
    assert {status for status, _ in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["msvm_acdk"], "did you mean 'msvm_acdc'"),
        (["nowhere.zip"], "nowhere.zip does not exist"),
        (["msvm_acdc", "--schema", "none.json"], "none.json does not exist"),
        (["msvm_acdc", "--exporter", "torch"], "unknown exporter 'torch'"),
        ([str(ROOT / "docs")], "is not the folder of a bundle"),
    ],
)
def test_wrong_words(words, told, capsys):
    assert main(["zoo", "verify", *words, "--static"]) == 2
    assert told in capsys.readouterr().err


def test_all_bundles_by_default(capsys):
    assert main(["zoo", "verify", "--static"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == sorted(BUNDLES)
    assert len(lines) == len(BUNDLES) * (1 + len(STATIC))


def test_metadata_that_break_the_schema(zips, tmp_path):
    pytest.importorskip("jsonschema")
    metadata = json.loads(contents(zips["msvm_acdc"])["msvm_acdc/configs/metadata.json"])
    changes = {"configs/metadata.json": json.dumps({**metadata, "authors": 3}).encode()}
    path = tampered(zips["msvm_acdc"], tmp_path / "msvm_acdc_v0.1.0.zip", changes)
    status, why = outcome(str(path), ["verify_metadata"])["verify_metadata"]
    assert status == "FAILED"
    assert "3 is not of type 'string'" in why
