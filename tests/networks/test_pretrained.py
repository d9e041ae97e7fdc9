"""Trainings that start from the weights of another network."""

import logging

import pytest
import torch
from monai.bundle import ConfigParser

from components.networks import MSVMUNet, XLSTMUNet, load_pretrained
from tests.bundles.workflow import ROOT, configs


def xlstm(channels=1, classes=3, stages=3, **changes):
    features = (16, 32, 32, 8)[:stages]
    strides = (1, 2, 2, 2)[:stages]
    settings = {"variant": "bot", "patch_size": (32, 32), "deep_supervision": True} | changes
    return XLSTMUNet(2, channels, classes, features=features, kernel_sizes=[3] * stages, strides=strides, **settings)


def msvm(channels=3, classes=2):
    return MSVMUNet(channels, classes, features=(8, 16, 32, 64), depths=(1, 1, 1, 1))


def start(network, given, tmp_path, caplog):
    torch.save(given.state_dict(), tmp_path / "model.pt")
    with caplog.at_level(logging.INFO, "components"):
        share = load_pretrained(network, tmp_path / "model.pt")
    return share, caplog.text


def outputs(network, x):
    with torch.no_grad():
        return network.eval()(x)


def test_half_precision_becomes_the_network_s_type(tmp_path, caplog):
    given, network = xlstm().half(), xlstm()
    share, told = start(network, given, tmp_path, caplog)
    assert share == 1
    assert told.strip().endswith("100.0 % of the parameters")
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, given.state_dict()[name].float(), atol=0, rtol=0)


@pytest.mark.parametrize("build", [xlstm, msvm])
def test_heads_of_other_classes_stay_as_they_were(build, tmp_path, caplog):
    given, network = build(classes=4), build(classes=6)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    share, told = start(network, given, tmp_path, caplog)
    kept = [name for name, tensor in given.state_dict().items() if tensor.shape != before[name].shape]
    assert kept
    assert 0.9 < share < 1
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] if name in kept else given.state_dict()[name]), name
    named = told.partition("left as initialised: ")[2].partition(";")[0].strip()
    assert named == "heads" if build is xlstm else named.startswith("head.head")


@pytest.mark.parametrize("build", [xlstm, msvm])
@pytest.mark.parametrize(("before", "now"), [(2, 5), (5, 2)])
def test_other_channels_with_equal_values_have_the_same_outputs(build, before, now, tmp_path, caplog):
    given, network = build(channels=before), build(channels=now)
    share, told = start(network, given, tmp_path, caplog)
    assert share == 1
    assert f"from {before} to {now} channels" in told
    x = torch.randn(1, 1, 32, 32)
    expected, found = (outputs(net, x.repeat(1, n, 1, 1)) for net, n in ((given, before), (network, now)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_one_channel_is_repeated_and_divided_by_their_number(tmp_path, caplog):
    given, network = xlstm(channels=1), xlstm(channels=4)
    start(network, given, tmp_path, caplog)
    torch.testing.assert_close(network.stem[0].conv1.weight, given.stem[0].conv1.weight.repeat(1, 4, 1, 1) / 4)


@pytest.mark.parametrize(("before", "now"), [(3, 4), (4, 3)])
def test_stages_are_aligned_at_the_fine_end(before, now, tmp_path, caplog):
    given, network = xlstm(stages=before), xlstm(stages=now)
    _, told = start(network, given, tmp_path, caplog)
    for ours, theirs in ((network.heads[-1], given.heads[-1]), (network.decoder[-2], given.decoder[-2])):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name
    assert ("left as initialised: stages.3," in told) == (now == 4)


def test_less_than_half_is_refused_and_changes_nothing(tmp_path):
    network = xlstm()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(
        {name: tensor for name, tensor in xlstm().state_dict().items() if name.startswith("stem")}, tmp_path / "part.pt"
    )
    with pytest.raises(
        ValueError, match=r"part\.pt fits \d+ % .* XLSTMUNet, and at least 50 % .*first stages"
    ) as caught:
        load_pretrained(network, tmp_path / "part.pt")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("path", "told"),
    [("gone.pt", "no weights at gone.pt to start from"), (5, "pretrained is 5, but the path"), (__file__, "damaged")],
)
def test_what_is_no_weights_file_is_told(path, told):
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        load_pretrained(xlstm(), path)


@pytest.mark.parametrize("bundle", ["xlstm_hippocampus_mri_3d", "xlstm_nuclei"])
def test_trained_bundles_start_trainings_with_other_classes_and_channels(bundle):
    parser = ConfigParser(ConfigParser.load_config_file(str(configs(bundle) / "train.json")))
    parser["network_def#_requires_"] = []
    parser["class_names"] = ["one", "two", "three", "four"]
    parser["network_def#in_channels"] = 2
    network = parser.get_parsed_content("network_def")
    assert load_pretrained(network, ROOT / "bundles" / bundle / "models" / "model.pt") > 0.99
