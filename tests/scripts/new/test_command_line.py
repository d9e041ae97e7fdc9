"""``new`` as a user types it, and the commands that it prints."""

import json
import shutil

import pytest
import user_data as data

from scripts.cli import main

WORDS = ["--memory", "4", "--processes", "1"]


def test_flags(run, tmp_path):
    data.pair_of_pictures(tmp_path / "raw", count=4)
    done = run("new", "polyps", "--from", "xlstm_endoscopy", "--data", "raw", *WORDS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "polyps/configs/train.json").is_file()
    assert "python -m monai.bundle run training --bundle_root polyps" in done.stdout
    assert "--from FROM" in run("new", "--help").stdout
    for words, told in (
        (["new", "x", "--form", "a"], "unknown flag --form, did you mean --from?"),
        (["new", "x", "--data", "raw"], "missing --from; see scanseg new --help"),
        (["new", "x", "--from", "--data", "raw"], "--from needs a value"),
        (["new", "x", "--from", "xlstm_endoscpy", "--data", "raw"], "did you mean 'xlstm_endoscopy'?"),
        (["new", "x", "--from=xlstm_endoscopy", "--data", "nowhere"], "--data nowhere is not a folder"),
        (["new", "polyps", "--from=xlstm_endoscopy", "--data", "raw"], "polyps exists: choose another name"),
    ):
        done = run(*words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("base", "make"),
    [
        ("xlstm_abdomen_mri_3d", data.raw_volumes),
        ("msvm_acdc", lambda root: data.raw_volumes(root, channels=("CT",))),
        ("xlstm_endoscopy", lambda root: data.pair_of_pictures(root, grey=True)),
        ("xlstm_cells", data.pair_of_pictures),
    ],
)
def test_data_check_knows_the_data_of_a_new_bundle(base, make, tmp_path, capsys):
    make(tmp_path / "raw")
    words = ["--from", base, "--data", str(tmp_path / "raw"), "--out", str(tmp_path), *WORDS]
    assert main(["new", "mine", *words]) == 0
    folder = tmp_path / "mine/data"
    capsys.readouterr()
    assert main(["data", "check", str(folder), "--processes=1"]) == 0
    assert ": no faults in " in capsys.readouterr().out
    record = json.loads((folder / "dataset.json").read_text())
    record["labels"].popitem()
    (folder / "dataset.json").write_text(json.dumps(record))
    assert main(["data", "check", str(folder), "--processes=1"]) == 1
    assert "mine has 0 to 1" in capsys.readouterr().out


def test_data_check_sees_a_damaged_channel(tmp_path, capsys):
    data.raw_volumes(tmp_path / "raw")
    words = ["--from=xlstm_abdomen_mri_3d", f"--data={tmp_path / 'raw'}", f"--out={tmp_path}", *WORDS]
    assert main(["new", "mine", *words]) == 0
    item = json.loads((tmp_path / "mine/data/datalist.json").read_text())["training"][0]
    path = tmp_path / "mine/data" / item["image"][1]
    source = path.resolve()
    path.unlink()
    shutil.copy(source, path)
    data.rewrite(path, lambda array: array[:-1])
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path / "mine/data"), "--processes=1"]) == 1
    assert f"{item['image'][1]}: has shape" in capsys.readouterr().out
