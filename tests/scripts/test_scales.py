"""Data sets whose images differ in type or scale."""

import numpy as np
import pytest
from raw_data import decathlon, nifti

from scripts.cli import main
from scripts.data.scales import Scale, mixed_scales


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        ([("uint8", 0, 255), ("float32", 0, 3e5), ("float32", 2, 900)], "2 are float32 (intensities 0 to 300000, for"),
        ([("int16", 0, 1000), ("int16", 0, 900), ("int16", 5, 2000)], ""),
        ([("float32", 0, 1)] * 3 + [("float32", 0, 4000)] * 3, "6 are float32 (intensities 0 to 4000"),
        ([("float32", 0, 0), ("float32", 0, 5)], ""),
        ([], ""),
    ],
)
def test_what_is_not_alike_is_told(scales, told):
    named = {f"c{n}": Scale(*scale) for n, scale in enumerate(scales)}
    for absolute, why in ((True, "this matters"), (False, "this does not matter")):
        note = mixed_scales(named, absolute)
        assert told in note
        assert (why in note) == bool(told)


@pytest.mark.parametrize(("modality", "told"), [("MRI", "this does not matter here"), ("CT", "this matters")])
def test_commands_tell_it(modality, told, tmp_path, capsys):
    decathlon(tmp_path / "raw", modality=(modality,), cases=tuple("abcdef"))
    image = np.random.default_rng(0).integers(0, 255, (6, 5, 4)).astype(np.uint8)
    nifti(tmp_path / "raw/imagesTr/c.nii.gz", image, np.eye(4))
    assert main(["data", "prepare", "decathlon", "--source", str(tmp_path / "raw"), "--out", str(tmp_path / "d"),
                 "--processes=1"]) == 0  # fmt: skip
    nifti(tmp_path / "d/images/training/a.nii.gz", np.random.default_rng(1).random((5, 6, 4)).astype(np.float32) * 3e5)
    capsys.readouterr()
    main(["data", "check", str(tmp_path / "d"), "--processes=1"])
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert told in note
    assert "1 is float32" in note
