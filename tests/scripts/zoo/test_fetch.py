"""Downloads: whole, cut, resumed, damaged, and never over something else."""

import hashlib
import json
import shutil

import pytest

from scripts.cli import main
from scripts.errors import UserError
from scripts.zoo import fetch as fetch_module
from scripts.zoo.download import ATTEMPTS, check_url, download, read_text
from scripts.zoo.entries import add, empty_index, file_name, write_index
from tests.scripts.zoo.conftest import contents, listing, raw_zip

FILE = "/zoo/tiny_v0.1.0.zip"


@pytest.fixture
def zoo(checkout, tmp_path):
    """A folder with an index and the zip of ``tiny``."""
    index = empty_index()
    path, entry = checkout.build(tmp_path / "zoo")
    add(index, entry, release=True)
    write_index(path.parent / "model_zoo.json", index)
    return path.parent


@pytest.fixture
def served(zoo, server):
    server.files = {f"/zoo/{path.name}": path.read_bytes() for path in zoo.iterdir()}
    return server


@pytest.fixture
def fetch(tmp_path, capsys):
    """Run ``zoo fetch`` into a folder; returns exit status, output, errors."""

    def run(*words, out=tmp_path / "out"):
        status = main(["zoo", "fetch", *map(str, words), "--out", str(out)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def one_error(fetch, *words):
    """The one line of a fetch that fails."""
    status, told, errors = fetch(*words)
    assert (status, told, errors.count("\n")) == (2, "", 1)
    return errors


def is_tiny(folder, zoo):
    packed = contents(zoo / "tiny_v0.1.0.zip")
    found = {name.as_posix(): data for name, data in listing(folder).items() if data is not False}
    return found == packed


def change_index(zoo, **changes):
    index = json.loads((zoo / "model_zoo.json").read_text())
    index["bundles"]["tiny"]["0.1.0"] |= changes
    (zoo / "model_zoo.json").write_text(json.dumps(index))


@pytest.mark.parametrize("place", ["folder", "file", "url", "url of the folder"])
def test_fetch_from(place, zoo, served, fetch, tmp_path):
    where = {
        "folder": zoo,
        "file": zoo / "model_zoo.json",
        "url": f"{served.url}/zoo/model_zoo.json",
        "url of the folder": f"{served.url}/zoo/",
    }[place]
    status, told, _ = fetch("tiny", "--index", where)
    assert status == 0
    assert "is ready: tiny 0.1.0, without weights" in told
    assert is_tiny(tmp_path / "out", zoo)


def test_fetch_of_a_version_from_its_own_address(zoo, served, fetch, tmp_path):
    change_index(zoo, url=f"{served.url}/zoo/tiny_v0.1.0.zip")
    packed = (zoo / "tiny_v0.1.0.zip").rename(zoo / "elsewhere.zip")
    assert fetch("tiny==0.1.0", "--index", zoo)[0] == 0
    assert served.asked == [(FILE, None)]
    packed.rename(zoo / "tiny_v0.1.0.zip")
    assert is_tiny(tmp_path / "out", zoo)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tinny"], "did you mean 'tiny'"),
        (["tiny==0.2.0"], "no version 0.2.0 of tiny: there is 0.1.0"),
        (["tiny", "--index", "nowhere.json"], "No such file or directory: nowhere.json"),
    ],
)
def test_wrong_names(words, told, zoo, fetch, tmp_path):
    status, _, errors = fetch(*words, *([] if "--index" in words else ["--index", zoo]))
    assert status == 2
    assert told in errors
    assert not (tmp_path / "out").exists()


def test_what_is_here_in_place_of_what_is_not_published(fetch, tmp_path, monkeypatch):
    for words, told in (
        (["msvm_acdc"], "no bundle is published yet, but msvm_acdc is already here, in "),
        (["msvm_acdc==9.9.9"], "use it with --bundle msvm_acdc"),
        (["vnet"], "the bundles here are msvm_acdc, "),
    ):
        assert told in one_error(fetch, *words)
    (tmp_path / "empty").mkdir()
    write_index(tmp_path / "empty" / "model_zoo.json", empty_index())
    assert "lists no bundles, but msvm_acdc is already here" in one_error(
        fetch, "msvm_acdc", "--index", tmp_path / "empty"
    )
    monkeypatch.setattr(fetch_module, "INDEX", tmp_path / "none.json")
    assert "no bundle is published yet, but" in one_error(fetch, "msvm_acdc")


def test_a_bundle_here_that_an_index_does_not_list(zoo, fetch):
    assert "does not list msvm_acdc, but msvm_acdc is already here" in one_error(fetch, "msvm_acdc", "--index", zoo)


@pytest.mark.parametrize("kind", ["404", "page", "http", "ftp", "closed"])
def test_wrong_addresses(kind, served, fetch, tmp_path):
    served.files["/page.json"] = b"<html>"
    served.moved["/other.json"] = "ftp://127.0.0.1/x"
    url, told = {
        "404": (f"{served.url}/none/", "answers 404"),
        "page": (f"{served.url}/page.json", "is not an index of a model zoo"),
        "http": (f"{served.url}/other.json", "which is not encrypted: it is not followed"),
        "ftp": ("ftp://127.0.0.1/model_zoo.json", "must begin with https://"),
        "closed": ("http://127.0.0.1:9/model_zoo.json", "cannot be read"),
    }[kind]
    status, _, errors = fetch("tiny", "--index", url)
    assert status == 2
    assert told in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_http_elsewhere_is_warned_of(capsys):
    check_url("http://127.0.0.1/x")
    check_url("http://localhost:80/x")
    check_url("https://example.org/x")
    assert capsys.readouterr().err == ""
    check_url("http://example.org/x")
    assert "is not encrypted" in capsys.readouterr().err


def refused(fetch, index, tmp_path, told):
    """Fetch must fail, and leave the target folder as it was."""
    (tmp_path / "out" / "other").mkdir(parents=True, exist_ok=True)
    before = listing(tmp_path / "out")
    status, _, errors = fetch("tiny", "--index", index)
    assert status == 2
    assert told in errors
    assert listing(tmp_path / "out") == before


@pytest.mark.parametrize("place", ["url", "folder"])
@pytest.mark.parametrize("damage", ["flipped byte", "truncated", "longer"])
def test_another_file_than_the_index_describes(damage, place, zoo, served, fetch, tmp_path):
    path = zoo / "tiny_v0.1.0.zip"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    data = {"flipped byte": bytes(data), "truncated": path.read_bytes()[:-1], "longer": path.read_bytes() + b"x"}[
        damage
    ]
    path.write_bytes(data)
    served.files[FILE] = data
    if place == "url" and damage != "flipped byte":
        told = "is larger than" if damage == "longer" else "ended early"
        status, _, errors = fetch("tiny", "--index", f"{served.url}/zoo/")
        assert status == 2
        assert told in errors
        assert not (tmp_path / "out" / "tiny").exists()
    else:
        refused(
            fetch, f"{served.url}/zoo/" if place == "url" else zoo, tmp_path, "not the file that the index describes"
        )


@pytest.mark.parametrize("name", ["tiny/../../evil", "/evil", "other/evil"])
def test_a_zip_that_climbs_is_refused_even_if_its_hash_is_right(name, zoo, fetch, tmp_path):
    path = raw_zip(zoo / "tiny_v0.1.0.zip", ("tiny/LICENSE", b""), (name, b"evil"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change_index(zoo, sha256=digest, size=path.stat().st_size)
    refused(fetch, zoo, tmp_path, "evil")
    assert not list(tmp_path.rglob("evil"))


def test_a_zip_of_another_bundle_is_refused(zoo, fetch, tmp_path):
    path = raw_zip(zoo / "tiny_v0.1.0.zip", ("other/LICENSE", b""))
    change_index(zoo, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)
    refused(fetch, zoo, tmp_path, "holds other, not tiny")


def test_a_broken_connection_goes_on_where_it_broke(zoo, served, fetch, tmp_path):
    size = len(served.files[FILE])
    cut = [size // 3, size // 2]
    served.cuts = [len(served.files["/zoo/model_zoo.json"]), *cut]
    assert fetch("tiny", "--index", f"{served.url}/zoo/")[0] == 0
    assert [begun for path, begun in served.asked if path == FILE] == [None, *cut]
    assert is_tiny(tmp_path / "out", zoo)


def test_the_next_command_goes_on_where_the_last_one_stopped(zoo, served, fetch, tmp_path):
    cut = len(served.files[FILE]) // 2
    index = f"{served.url}/zoo/"
    served.cuts = [len(served.files["/zoo/model_zoo.json"]), *[cut] * ATTEMPTS]
    status, _, errors = fetch("tiny", "--index", index)
    assert status == 2
    assert "bytes are kept: the same command continues from there" in errors
    assert not (tmp_path / "out" / "tiny").exists()
    served.asked.clear()
    assert fetch("tiny", "--index", index)[0] == 0
    assert [begun for path, begun in served.asked if path == FILE] == [cut]
    assert is_tiny(tmp_path / "out", zoo)


def test_a_server_without_ranges_begins_anew(zoo, served, fetch, tmp_path):
    served.ranges = False
    cut = len(served.files[FILE]) // 2
    served.cuts = [len(served.files["/zoo/model_zoo.json"]), cut]
    assert fetch("tiny", "--index", f"{served.url}/zoo/")[0] == 0
    assert [begun for path, begun in served.asked if path == FILE] == [None, cut]
    assert is_tiny(tmp_path / "out", zoo)


def test_what_is_left_of_another_file_does_no_harm(served, tmp_path):
    data = served.files[FILE]
    for left in (b"other" * 20, data + b"longer", data[:50]):
        (tmp_path / ".partial.a.zip").write_bytes(left)
        download(f"{served.url}{FILE}", tmp_path / "a.zip", len(data), hashlib.sha256(data).hexdigest())
        assert (tmp_path / "a.zip").read_bytes() == data
        assert not (tmp_path / ".partial.a.zip").exists()


def test_redirections_are_followed(served, tmp_path):
    served.moved["/old.json"] = f"{served.url}/zoo/model_zoo.json"
    assert json.loads(read_text(f"{served.url}/old.json"))["format"] == 1


def test_a_copy_that_is_there_is_neither_kept_in_silence_nor_overwritten(checkout, zoo, fetch, tmp_path):
    target = tmp_path / "out" / "tiny"
    assert fetch("tiny", "--index", zoo)[0] == 0
    before = listing(target)
    status, told, _ = fetch("tiny", "--index", zoo)
    assert (status, "; nothing to do" in told) == (0, True)
    (target / "models" / "model.pt").write_text("trained here")
    assert fetch("tiny", "--index", zoo)[0] == 0

    (target / "configs" / "inference.json").write_text("{}")
    mine = listing(target)
    status, _, errors = fetch("tiny", "--index", zoo)
    assert status == 2
    assert "version 0.1.0 with other content (configs/inference.json)" in errors
    assert "--force" in errors
    assert listing(target) == mine

    status, told, _ = fetch("tiny", "--index", zoo, "--force")
    assert (status, "the old copy was renamed to" in told) == (0, True)
    assert listing(target) == before
    assert listing(target.with_name("tiny.old1")) == mine

    checkout.metadata(version="0.2.0", changelog={"0.2.0": "more"})
    path, entry = checkout.build(zoo)
    index = json.loads((zoo / "model_zoo.json").read_text())
    add(index, entry, release=True)
    write_index(zoo / "model_zoo.json", index)
    status, _, errors = fetch("tiny", "--index", zoo)
    assert status == 2
    assert "holds version 0.1.0, not tiny 0.2.0" in errors
    assert listing(target) == before
    assert path.name == file_name("tiny", "0.2.0")


def test_a_folder_of_something_else_is_left_alone(zoo, fetch, tmp_path):
    (tmp_path / "out" / "tiny").mkdir(parents=True)
    (tmp_path / "out" / "tiny" / "thesis.txt").write_text("years")
    refused(fetch, zoo, tmp_path, "holds something else")


def test_the_zip_itself_does_not_stay(zoo, served, fetch, tmp_path):
    assert fetch("tiny", "--index", f"{served.url}/zoo/")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tiny"]
    shutil.rmtree(tmp_path / "out")


def test_a_missing_zip_is_told(zoo, fetch, tmp_path):
    (zoo / "tiny_v0.1.0.zip").unlink()
    refused(fetch, zoo, tmp_path, "does not exist: make it with zoo package")


def test_size_must_fit(tmp_path):
    (tmp_path / "a").write_text("ab")
    with pytest.raises(UserError, match="2 bytes instead of 3"):
        download(str(tmp_path / "a"), tmp_path / "b", 3, "0" * 64)
