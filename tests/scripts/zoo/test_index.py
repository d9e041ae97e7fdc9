"""model_zoo.json: its rules, its schema, and its other forms."""

import hashlib
import json
import re

import jsonschema
import pytest
import torch
import yaml

from scripts.cli import main
from scripts.errors import UserError
from scripts.zoo import package as package_module
from scripts.zoo.contents import ROOT, Weights
from scripts.zoo.entries import INDEX, SCHEMA, add, choose, empty_index, read_index, write_index
from scripts.zoo.formats import current, hugging_face, large_files, model_info
from tests.scripts.zoo.conftest import FILES, METADATA, contents


def valid(index):
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(index)
    return index


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(2)}, path)
    return Weights("sample-trained", "one epoch on nothing", "Apache-2.0", path)


@pytest.fixture
def project(checkout, monkeypatch):
    """A checkout that the command works on."""
    monkeypatch.setattr(package_module, "ROOT", checkout.root)
    monkeypatch.setattr(package_module, "INDEX", checkout.root / "model_zoo.json")
    return checkout


def test_the_index_of_the_repository_has_released_versions_only():
    index = valid(read_index(INDEX))
    assert all(entry["released"] for entry in current(index))
    if index["bundles"]:
        assert (ROOT / "models" / "model_info.json").read_text() == model_info(index)
        assert (ROOT / "models" / "large_files.yml").read_text() == large_files(index)


def test_an_entry_tells_what_is_in_the_zip(checkout, tmp_path):
    path, entry = checkout.build(tmp_path)
    data = path.read_bytes()
    assert entry["size"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert entry["sha1"] == hashlib.sha1(data).hexdigest()
    assert entry["sums_sha256"] == hashlib.sha256(contents(path)["tiny/SHA256SUMS"]).hexdigest()
    assert (entry["modality"], entry["licence"], entry["metrics"]) == ("MR", "Apache-2.0", {"mean_dice": 0.5})
    valid({**empty_index(), "bundles": {"tiny": {"0.1.0": entry}}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "abc"}, {"version": "1"}, {"size": 0}, {"released": "no"}, {"surplus": 1}, {"file": "../x.zip"},
        {"weights": {"kind": "none", "source": "x", "licence": ""}},
        {"weights": {"kind": "published", "source": "x", "licence": "y"}},
    ],
    ids=str,
)  # fmt: skip
def test_the_schema_refuses(checkout, wrong, tmp_path):
    _, entry = checkout.build(tmp_path)
    with pytest.raises(jsonschema.ValidationError):
        valid({**empty_index(), "bundles": {"tiny": {"0.1.0": {**entry, **wrong}}}})


def test_unreleased_versions_give_way_and_released_ones_stay(checkout, tmp_path):
    index = empty_index()
    _, first = checkout.build(tmp_path)
    add(index, first)
    checkout.metadata(description="other")
    _, second = checkout.build(tmp_path)
    assert second["sha256"] != first["sha256"]
    add(index, second)
    assert index["bundles"]["tiny"] == {"0.1.0": second}
    add(index, second, release=True)
    before = json.dumps(index)
    add(index, second)
    assert json.dumps(index) == before
    with pytest.raises(UserError, match=r"tiny 0\.1\.0 is released already.*raise version in bundles/tiny"):
        add(index, first)
    assert json.dumps(index) == before
    for version in ("0.2.0", "0.10.0"):
        checkout.metadata(version=version, changelog={version: "more"})
        add(index, checkout.build(tmp_path)[1])
    assert list(index["bundles"]["tiny"]) == ["0.1.0", "0.10.0"]
    valid(index)


def test_the_newest_release_is_chosen(checkout, tmp_path):
    index = empty_index()
    for version, released in (("0.9.0", True), ("0.10.0", True), ("0.11.0", False)):
        checkout.metadata(version=version, changelog={version: "more"})
        add(index, checkout.build(tmp_path)[1], released)
    assert choose(index, "tiny", None, "x")["version"] == "0.10.0"
    assert choose(index, "tiny", "0.11.0", "x")["version"] == "0.11.0"
    with pytest.raises(UserError, match=r"no version 1\.0\.0 of tiny: there is 0\.9\.0, 0\.10\.0, 0\.11\.0"):
        choose(index, "tiny", "1.0.0", "x")
    with pytest.raises(ValueError, match="did you mean 'tiny'"):
        choose(index, "tinny", None, "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not valid JSON"),
        ("[]", "not an index"),
        ('{"format": 2, "bundles": {}}', "format 2"),
        ('{"format": 1, "bundles": {"../x": {}}}', "is not a bundle"),
        ('{"format": 1, "bundles": {"tiny": {"0.1.0": {}}}}', "wrong name"),
        ('{"format": 1, "bundles": {"tiny": {"../1": {}}}}', "wrong version"),
    ],
)
def test_other_files_are_no_index(text, told, tmp_path):
    (tmp_path / "model_zoo.json").write_text(text)
    with pytest.raises(UserError, match=told):
        read_index(tmp_path / "model_zoo.json")


def test_package_writes_the_index_of_its_folder(project, tmp_path, capsys):
    out = tmp_path / "dist"
    project.write("bundles/other/configs/metadata.json", json.dumps(METADATA))
    for name in FILES:
        if name.startswith("bundles/tiny/") and not name.endswith("metadata.json"):
            project.write(name.replace("tiny", "other"), FILES[name])
    project.commit()
    assert main(["zoo", "package", "--out", str(out)]) == 0
    index = valid(read_index(out / "model_zoo.json"))
    assert [(entry["name"], entry["released"]) for entry in current(index)] == [("other", False), ("tiny", False)]
    project.metadata(description="changed")
    project.commit()
    assert main(["zoo", "package", "--out", str(out), "--bundle", "tiny"]) == 0
    changed = read_index(out / "model_zoo.json")["bundles"]
    assert changed["other"] == index["bundles"]["other"]
    assert changed["tiny"] != index["bundles"]["tiny"]
    (out / "other_v0.1.0.zip").unlink()
    assert main(["zoo", "package", "--out", str(out), "--bundle", "tiny"]) == 0
    assert list(read_index(out / "model_zoo.json")["bundles"]) == ["tiny"]
    assert not (project.root / "model_zoo.json").exists()
    assert not (project.root / "models").exists()
    assert main(["zoo", "fetch", "tiny", "--index", str(out), "--out", str(tmp_path / "fetched")]) == 0
    assert "is ready: tiny 0.1.0" in capsys.readouterr().out


def test_package_refuses(project, tmp_path, capsys, weights):
    out = tmp_path / "dist"
    words = ["zoo", "package", "--out", str(out), "--weights", str(weights.path)]
    for more, told in (
        ([], "--weights_source must say where"),
        (["--weights-source", "mine"], "--weights_source must say where"),
        (["--weights-source", "published: x"], "need --weights_licence"),
        (["--weights-source", "sample-trained: x", "--bundle", "tiny,tiny"], "for one bundle"),
        (["--weights-source", "sample-trained: x", "--release"], "needs --base_url"),
        (["--weights-source", "sample-trained: x", "--base-url", "host"], "needs an address"),
    ):
        assert main([*words, *more]) == 2
        assert told in capsys.readouterr().err
    assert main(["zoo", "package", "--bundle", "tinny"]) == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


def test_release(project, tmp_path, capsys, weights):
    out = tmp_path / "dist"
    words = ["zoo", "package", "--out", str(out), "--release", "--base-url", "https://host/v1/"]
    more = ["--weights", str(weights.path), "--weights-source", f"sample-trained: {weights.source}"]
    project.write("components/__init__.py", '__version__ = "0.1.0"  # changed\n')
    assert main(words) == 2
    assert "must be committed" in capsys.readouterr().err
    project.commit()
    assert main([*words, *more]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "RELEASE_NOTES.md", "SHA256SUMS", "large_files.yml", "model_info.json", "model_zoo.json", "tiny_v0.1.0.zip",
        "tiny_v0.1.0_model.pt",
    ]  # fmt: skip
    rows = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    assert rows == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir() if path.name != "SHA256SUMS"
    }
    index = valid(read_index(out / "model_zoo.json"))
    assert index == read_index(project.root / "model_zoo.json")
    (entry,) = current(index)
    assert (entry["released"], entry["url"]) == (True, "https://host/v1/tiny_v0.1.0.zip")
    assert yaml.safe_load((out / "large_files.yml").read_text()) == {
        "large_files": [
            {
                "path": "tiny/models/model.pt",
                "url": "https://host/v1/tiny_v0.1.0_model.pt",
                "hash_val": hashlib.sha256(weights.path.read_bytes()).hexdigest(),
                "hash_type": "sha256",
            }
        ]
    }
    notes = (out / "RELEASE_NOTES.md").read_text()
    assert entry["sha256"] in notes
    assert "first version" in notes
    assert "- begun" in notes
    assert "- tried" not in notes

    assert main([*words, *more]) == 0  # nothing has changed
    assert main(["zoo", "package", "--out", str(out)]) == 2
    assert "is released already" in capsys.readouterr().err
    assert read_index(project.root / "model_zoo.json") == index
    fetched = str(tmp_path / "fetched")  # from the folder, as nothing is uploaded yet
    assert main(["zoo", "fetch", "tiny", "--index", str(out), "--out", fetched]) == 0


def test_hugging_face_folder(checkout, tmp_path):
    index = empty_index()
    path, entry = checkout.build(tmp_path / "zips")
    add(index, entry)
    (made,) = hugging_face(index, tmp_path / "zips", tmp_path / "hf")
    text = (made / "README.md").read_text()
    front, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, flags=re.DOTALL).groups()
    front = yaml.safe_load(front)
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "monai"
    assert front["pipeline_tag"] == "image-segmentation"
    assert "MR" in front["tags"]
    assert body.count("\n# ") == 1
    assert "Some text." in body
    assert "| mean_dice | 0.5 |" in body
    assert (made / "configs" / "metadata.json").read_bytes() == contents(path)["tiny/configs/metadata.json"]
    path.write_bytes(b"")
    with pytest.raises(UserError, match="not the zip of the index"):
        hugging_face(index, tmp_path / "zips", tmp_path / "hf2")


def test_index_command(checkout, tmp_path, capsys):
    index = empty_index()
    add(index, checkout.build(tmp_path / "zips")[1])
    write_index(tmp_path / "model_zoo.json", index)
    words = ["zoo", "index", "--index", str(tmp_path)]
    assert main([*words, "--huggingface", str(tmp_path / "hf"), "--zips", str(tmp_path / "zips")]) == 0
    assert (tmp_path / "models" / "model_info.json").read_text() == model_info(index)
    assert (tmp_path / "hf" / "tiny" / "README.md").is_file()
    assert main([*words[:2], "--index", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
    assert main(["zoo", "index", "--out", str(tmp_path / "none")]) == 2
    assert "lists no bundles" in capsys.readouterr().err
