"""Zips that are equal byte for byte, and zips that are refused."""

import hashlib
import json
import stat
import struct
import warnings
import zipfile

import pytest

from scripts.errors import UserError
from scripts.zoo.archive import MOST_FILES, SUMS, changed, check_zip, unpack
from scripts.zoo.contents import Weights, bundle_names, collect
from scripts.zoo.package import build
from tests.scripts.zoo.conftest import FILES, contents, listing, raw_zip


def test_two_builds_of_the_bundles_give_equal_bytes(zips, tmp_path):
    again = build(bundle_names(), tmp_path)
    assert {entry["name"] for entry in again} == set(zips)
    for entry in again:
        assert (tmp_path / entry["file"]).read_bytes() == zips[entry["name"]].read_bytes()


def test_a_zip_has_nothing_that_depends_on_the_machine(zips):
    for name, path in zips.items():
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        assert [info.filename for info in infos] == sorted(info.filename for info in infos)
        assert {info.filename.partition("/")[0] for info in infos} == {name}
        assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in infos} == {stat.S_IFREG | 0o644}
        assert {(info.create_system, info.compress_type, info.extra) for info in infos} == {
            (3, zipfile.ZIP_STORED, b"")
        }
        assert not any("__pycache__" in info.filename for info in infos)


def test_other_checkouts_of_the_same_files_give_equal_bytes(checkout, tmp_path):
    path, _ = checkout.build(tmp_path / "a")
    for name, text in FILES.items():
        checkout.write(name, text.replace("\n", "\r\n"))
        (checkout.root / name).chmod(0o755)
    checkout.write("elsewhere.txt", "not part of it")
    checkout.commit()
    windows, _ = checkout.build(tmp_path / "b")
    assert windows.read_bytes() == path.read_bytes()
    (checkout.root / ".git").rename(tmp_path / "git")
    assert checkout.build(tmp_path / "c")[0].read_bytes() == path.read_bytes()


def test_only_tracked_files_get_in(checkout, tmp_path):
    for name in ("components/secret.py", "bundles/tiny/.env", "bundles/tiny/configs/mine.json", "components/x.pyc"):
        checkout.write(name, "password")
    path, _ = checkout.build(tmp_path)
    inside = [name.removeprefix("bundles/tiny/") for name in FILES if name != "CHANGELOG.md"]
    assert sorted(contents(path)) == sorted(f"tiny/{name}" for name in [*inside, "models/weights.json", SUMS])


@pytest.mark.parametrize("name", ["bundles/tiny/models/last.pt", "bundles/tiny/.env", "components/data.bin"])
def test_a_tracked_file_of_another_kind_is_refused(checkout, name, tmp_path):
    checkout.write(name, "x")
    checkout.git("add", "--force", name)
    with pytest.raises(UserError, match="bundles have no such files"):
        checkout.build(tmp_path)


def test_a_tracked_link_is_refused(checkout, tmp_path):
    (checkout.root / "components" / "passwd.py").symlink_to("/etc/passwd")
    checkout.commit()
    with pytest.raises(UserError, match="is a link or missing"):
        checkout.build(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "0.2.0"}, "changelog has no entry for version 0.2.0"),
        ({"version": "1"}, "must be three numbers"),
        ({"version": None}, "must be three numbers"),
    ],
)
def test_a_version_needs_its_entry(checkout, changes, told):
    checkout.metadata(**changes)
    with pytest.raises(UserError, match=told):
        collect("tiny", root=checkout.root)


def test_components_must_have_the_required_version(checkout):
    checkout.write("components/__init__.py", '__version__ = "0.2.0"\n')
    with pytest.raises(UserError, match=r"inference.json requires components 0.1.0, but .* is 0.2.0"):
        collect("tiny", root=checkout.root)


def test_weights_and_their_origin_are_inside(checkout, tmp_path):
    model = tmp_path / "some.pt"
    model.write_bytes(b"weights")
    path, entry = checkout.build(tmp_path / "out", Weights("published", "the authors", "MIT", model))
    inside = contents(path)
    assert inside["tiny/models/model.pt"] == b"weights"
    assert b'"source": "the authors"' in inside["tiny/models/weights.json"]
    assert entry["weights"]["kind"] == "published"
    assert entry["weights"]["file"] == "tiny_v0.1.0_model.pt"


def test_weights_of_the_repository_are_inside_and_are_those_described(checkout, tmp_path):
    record = {"kind": "trained", "source": "us", "licence": "CC0-1.0", "scores": {"f1": 0.5}}
    digest = hashlib.sha256(b"tensors").hexdigest()
    checkout.write("bundles/tiny/models/model.pt", "tensors")
    checkout.write("bundles/tiny/models/weights.json", json.dumps({**record, "sha256": digest}))
    checkout.commit()
    path, entry = checkout.build(tmp_path)
    inside = contents(path)
    assert inside["tiny/models/model.pt"] == b"tensors"
    assert json.loads(inside["tiny/models/weights.json"]) == {**record, "sha256": digest}
    assert (entry["weights"]["kind"], entry["weights"]["sha256"]) == ("trained", digest)
    checkout.write("bundles/tiny/models/model.pt", "others")
    with pytest.raises(UserError, match=r"model\.pt is not the file that weights\.json describes"):
        checkout.build(tmp_path)


def test_unpacked_files_are_those_that_were_packed(zips, tmp_path):
    path = zips["msvm_acdc"]
    root = unpack(path, tmp_path)
    assert {
        f"msvm_acdc/{name.as_posix()}": data for name, data in listing(root).items() if data is not False
    } == contents(path)
    assert changed(root) == []
    (root / "LICENSE").write_text("mine")
    (root / "configs" / "train.json").unlink()
    assert changed(root) == ["LICENSE", "configs/train.json"]


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


OUTSIDE = {
    "climbs": ("tiny/../../evil", "can lead out of its folder"),
    "absolute": ("/tmp/evil", "does not hold one folder"),
    "absolute_later": ("/evil", "absolute path"),
    "drive": ("C:/evil", "absolute path or one with a drive"),
    "backslash": ("tiny\\..\\evil", "absolute path or one with a drive"),
    "elsewhere": ("other/evil", "is not in tiny/"),
    "dot": ("tiny/./evil", "can lead out"),
    "empty": ("tiny//evil", "can lead out"),
    "control": ("tiny/e\nvil", "not valid on every system"),
    "dots_at_end": ("tiny/evil.", "not valid on every system"),
    "link": (link("tiny/evil"), "a link or another special file"),
    "twice": ("tiny/LICENSE", "twice"),
    "twice_without_case": ("tiny/license", "twice"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_unsafe_zips_are_refused_before_anything_is_written(case, tmp_path):
    name, told = OUTSIDE[case]
    first = [] if case == "absolute" else [("tiny/LICENSE", b"text")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's of a name that is there twice
        path = raw_zip(tmp_path / "tiny_v0.1.0.zip", *first, (name, b"/etc/passwd"))
    (tmp_path / "out").mkdir()
    before = listing(tmp_path)
    with pytest.raises(UserError, match=told):
        unpack(path, tmp_path / "out")
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["", "tiny_v2/x", ".hidden/x", "a b/x", "LICENSE.txt"])
def test_a_zip_needs_the_name_of_a_bundle(name, tmp_path):
    path = raw_zip(tmp_path / "a.zip", *([(name, b"")] if name else []))
    with pytest.raises(UserError, match="one folder with the name of a bundle"):
        check_zip(path)


def test_bombs_are_refused(tmp_path):
    path = raw_zip(tmp_path / "a.zip", ("tiny/zeros", bytes(1 << 24)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="more than 100 times its size"):
        check_zip(path)
    path = raw_zip(tmp_path / "b.zip", *((f"tiny/{n}", b"") for n in range(MOST_FILES + 1)))
    with pytest.raises(UserError, match=f"holds {MOST_FILES + 1} files"):
        check_zip(path)


def test_a_size_that_is_told_too_large_or_too_small_is_refused(tmp_path):
    path = raw_zip(tmp_path / "a.zip", ("tiny/a", b"x" * 1000))
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    for size, told in ((1 << 31, "100 times|overlap"), (10, "damaged")):
        data[directory + 24 : directory + 28] = struct.pack("<I", size)
        path.write_bytes(data)
        (tmp_path / told[:3]).mkdir()
        with pytest.raises(UserError, match=told):
            unpack(path, tmp_path / told[:3])


def test_files_that_overlap_are_refused(tmp_path):
    path = raw_zip(tmp_path / "a.zip", ("tiny/a", b"x" * 1000), ("tiny/b", b"y" * 1000), ("tiny/c", b"z" * 1000))
    data = bytearray(path.read_bytes())
    place = 0
    for _ in range(3):
        place = data.index(b"PK\x01\x02", place + 1)
        data[place + 20 : place + 28] = struct.pack("<II", 3000, 3000)
    path.write_bytes(data)
    with pytest.raises(UserError, match="overlap"):
        check_zip(path)


@pytest.mark.parametrize("kept", [0, 10, 1000, -1, -30])
def test_truncated_zips_are_refused(zips, kept, tmp_path):
    data = zips["msvm_acdc"].read_bytes()
    path = tmp_path / "msvm_acdc_v0.1.0.zip"
    path.write_bytes(data[:kept])
    with pytest.raises(UserError, match="is not a zip, or is damaged"):
        check_zip(path)


def test_damaged_content_is_refused(zips, tmp_path):
    data = bytearray(zips["msvm_acdc"].read_bytes())
    data[data.index(b"Apache License")] ^= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match="Bad CRC"):
        unpack(path, tmp_path)
