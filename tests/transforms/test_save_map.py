"""Maps are written where they lie on their image only."""

import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from components.transforms import SaveMapd


def test_a_map_of_another_size_than_its_picture_is_not_written(tmp_path):
    save = SaveMapd("pred", writer="PILWriter", output_ext=".png", output_dir=str(tmp_path), output_postfix="pred",
                    separate_folder=False, print_log=False, output_dtype="uint8")  # fmt: skip
    meta = {"filename_or_obj": "case.png", "spatial_shape": torch.tensor([6, 4])}
    with pytest.raises(ValueError, match=r"case\.png: the prediction has 4 × 6 pixels, but the picture 6 × 4"):
        save({"pred": MetaTensor(torch.ones(1, 4, 6), meta=meta)})
    assert not list(tmp_path.iterdir())
    save({"pred": MetaTensor(torch.ones(1, 6, 4), meta=meta)})
    assert Image.open(tmp_path / "case_pred.png").size == (6, 4)
