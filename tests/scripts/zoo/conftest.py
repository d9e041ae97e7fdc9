"""A small checkout to be packed, and a web server that can be told to fail."""

import hashlib
import http.server
import json
import re
import shutil
import subprocess
import threading
import zipfile

import pytest

from scripts.zoo.archive import SUMS
from scripts.zoo.contents import bundle_names
from scripts.zoo.package import build

METADATA = {
    "version": "0.1.0",
    "changelog": {"0.1.0": "first version"},
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.4.6",
    "name": "Tiny",
    "task": "Segmentation of nothing",
    "description": "a bundle for tests",
    "eval_metrics": {"mean_dice": 0.5},
    "network_data_format": {"inputs": {"image": {"modality": "MR"}}},
}
CONFIG = {
    "network_def": {"_target_": "BasicUNet", "_requires_": {"_target_": "components.require", "version": "0.1.0"}}
}
FILES = {
    "LICENSE": "Apache License\nVersion 2.0\n",
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n- tried\n\n## [0.1.0]\n\n- begun\n",
    "components/__init__.py": '__version__ = "0.1.0"\n',
    "components/networks/__init__.py": "",
    "bundles/tiny/configs/metadata.json": json.dumps(METADATA, indent=1) + "\n",
    "bundles/tiny/configs/inference.json": json.dumps(CONFIG) + "\n",
    "bundles/tiny/configs/logging.conf": "[loggers]\n",
    "bundles/tiny/docs/README.md": "# A heading\n\nSome text.\n",
}


class Checkout:
    """A repository with one bundle, ``tiny``."""

    def __init__(self, root):
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)
        self.git("init", "--quiet")
        self.commit()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")

    def git(self, *words):
        settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"]
        subprocess.run(["git", *settings, *words], cwd=self.root, check=True, capture_output=True)

    def commit(self):
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", "state", "--allow-empty")

    def metadata(self, **changes):
        self.write("bundles/tiny/configs/metadata.json", json.dumps({**METADATA, **changes}))

    def build(self, out, weights=None):
        (entry,) = build(["tiny"], out, weights, self.root)
        return out / entry["file"], entry


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def zips(tmp_path_factory):
    """The zips of all bundles, by name."""
    out = tmp_path_factory.mktemp("zips")
    return {entry["name"]: out / entry["file"] for entry in build(bundle_names(), out)}


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tampered(path, out, changes):
    """A zip with some files changed, by their names in the bundle, or taken out (None), and hashes that fit."""
    name = path.name.partition("_v")[0]
    files = {inside.removeprefix(f"{name}/"): data for inside, data in contents(path).items()} | changes
    files = {inside: data for inside, data in files.items() if data is not None}
    rows = [
        f"{hashlib.sha256(data).hexdigest()}  {inside}\n" for inside, data in sorted(files.items()) if inside != SUMS
    ]
    files[SUMS] = "".join(rows).encode()
    with zipfile.ZipFile(out, "w") as archive:
        for inside, data in files.items():
            archive.writestr(f"{name}/{inside}", data)
    return out


def listing(folder):
    """Everything in a folder, with the contents of files."""
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        begun = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.asked.append((self.path, int(begun[1]) if begun else None))
        if self.path in server.moved:
            self.send_response(302)
            self.send_header("Location", server.moved[self.path])
            self.end_headers()
            return
        data = server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        first = int(begun[1]) if begun and server.ranges else 0
        self.send_response(206 if begun and server.ranges else 200)
        if begun and server.ranges:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        end = server.cuts.pop(0) if server.cuts else len(data)
        self.wfile.write(data[first:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A web server of this machine.

    ``files`` by path; ``moved`` redirects; ``cuts`` are bytes after which an answer ends; ``ranges`` whether Range is
    understood; ``asked`` what was asked for.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files, server.moved, server.cuts, server.ranges, server.asked = {}, {}, [], True, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def raw_zip(path, *members, compression=zipfile.ZIP_STORED):
    """A zip of members (name or ZipInfo, bytes), whatever they are called."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path
