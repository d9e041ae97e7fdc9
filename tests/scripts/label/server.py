"""A MONAI Label server in a process group of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.bundles.workflow import ROOT
from tests.timeouts import HANG

PYTHON = Path(os.environ.get("SCANSEG_LABEL_PYTHON") or ROOT / ".venv-label" / "bin" / "python")


def is_installed() -> bool:
    """Whether there is an environment with MONAI Label."""
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('monailabel') is None)"
    return PYTHON.is_file() and subprocess.run([PYTHON, "-c", probe], check=False).returncode == 0


class Server:
    """Requests to a running server.

    Args:
        address: where it listens.
        process: its process.
    """

    def __init__(self, address: str, process: subprocess.Popen) -> None:
        self.address, self.process = address, process

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=HANG, **kwargs)

    def infer(self, bundle: str, image: str, **params: Any) -> requests.Response:
        query, form = {"image": image, "output": "image"}, {"params": json.dumps(params)}
        return requests.post(f"{self.address}/infer/{bundle}", params=query, data=form, timeout=HANG)

    def infer_all(self, bundle: str, **params: Any) -> requests.Response:
        """Segment several images while the request waits."""
        query = {"images": "all", "run_sync": "true"}
        return requests.post(f"{self.address}/batch/infer/{bundle}", params=query, json=params, timeout=HANG)

    def submit(self, image: str, label: Path, told: list[dict[str, object]]) -> None:
        """Save a final label, as a client does."""
        form = {"params": json.dumps({"label_info": told} if told else {})}
        with label.open("rb") as file:
            reply = requests.put(
                f"{self.address}/datastore/label",
                params={"image": image, "tag": "final"},
                data=form,
                files={"label": (label.name, file)},
                timeout=HANG,
            )
        assert reply.status_code == 200, reply.text

    def withdraw(self, image: str) -> None:
        """Delete the final label of an image."""
        query = {"id": image, "tag": "final"}
        reply = requests.delete(f"{self.address}/datastore/label", params=query, timeout=HANG)
        assert reply.status_code == 200, reply.text

    def train(self, bundle: str, **options: Any) -> dict[str, Any]:
        """Train to the end; returns the record of the task."""
        reply = requests.post(f"{self.address}/train/{bundle}", json=options, timeout=HANG)
        assert reply.status_code == 200, reply.text
        for _ in self.while_alive():
            task = self.get("/train/").json()
            if task["status"] not in ("SUBMITTED", "RUNNING"):
                return task
        raise AssertionError("the training has not ended")

    def train_now(self, bundle: str, **options: Any) -> requests.Response:
        """Train while the request waits."""
        query = {"run_sync": "true"}
        return requests.post(f"{self.address}/train/{bundle}", params=query, json=options, timeout=HANG)

    def while_alive(self) -> Iterator[None]:
        end = time.monotonic() + HANG
        while self.process.poll() is None and time.monotonic() < end:
            yield
            time.sleep(0.5)


@contextlib.contextmanager
def serving(work: Path, *words: object) -> Iterator[Server]:
    """Run ``scanseg label`` with these words and a free port in ``work``; its output is in ``server.log``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(work)}
    command = [str(PYTHON), "-m", "scripts", "label", *map(str, words), "--port", str(port)]
    with (work / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        for _ in server.while_alive():
            with contextlib.suppress(requests.ConnectionError):
                server.get("/info/")
                break
        assert process.poll() is None, (work / "server.log").read_text()[-3000:]
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
