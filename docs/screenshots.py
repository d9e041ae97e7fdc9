"""Screenshots of pages for the documentation, a tool for developers: ``python -m docs.screenshots --help``."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import fire
from PIL import Image

from components.files import replacing
from scripts.errors import UserError

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
)  # fmt: skip
DESKTOP, PHONE = (1000, 800), (390, 844)
"""Windows, width and height in CSS pixels."""
WAIT = 5.0
"""Seconds in which MLflow's page draws its curves."""


def chromium() -> tuple[str, str] | None:
    """Paths of Chromium and of its driver, or None where one of them is not installed."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None), shutil.which("chromedriver")
    return found if all(found) else None


@contextlib.contextmanager
def browser(width: int = 1200, height: int = 900, dark: bool = False, script: bool = True) -> Iterator[Chrome]:
    """A headless Chromium with a fresh profile.

    Args:
        width: of the window, in CSS pixels.
        height: of the window.
        dark: whether it prefers the dark; it always prefers reduced motion.
        script: whether pages may run scripts.

    Raises:
        UserError: if selenium, Chromium or its driver is not installed.
    """
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError as error:
        raise UserError("screenshots need selenium: pip install 'scanseg[test]'") from error
    if (programs := chromium()) is None:
        raise UserError("screenshots need Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location, driver = programs
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        try:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
            media = [{"name": name, "value": value} for name, value in wishes.items()]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
            yield chrome
        finally:
            chrome.quit()


def screenshots(report: str, out: str = "docs/images", mlflow: str | None = None, anchors: str = "pictures") -> None:
    """Make the screenshots of the documentation.

    Args:
        report: report.html of an evaluation.
        out: folder for report.png, report_dark.png, report_phone.png and mlflow.png.
        mlflow: tracking URI of MLflow; a server is started for its page. Without it there is no mlflow.png.
        anchors: sections of the report that get a picture of their own, report_SECTION.png.

    Example:
        python -m docs.screenshots --report O/report.html --mlflow sqlite:///O/mlruns.db
    """
    address, folder = Path(report).resolve().as_uri(), Path(out)
    with browser(*DESKTOP) as chrome:
        chrome.get(address)
        _save(chrome.get_screenshot_as_png(), folder / "report.png")
        sections = anchors.split(",") if isinstance(anchors, str) else anchors
        for name in filter(None, sections):
            chrome.get(f"{address}#{name}")
            time.sleep(0.5)
            _save(chrome.get_screenshot_as_png(), folder / f"report_{name}.png")
    with browser(*DESKTOP, dark=True) as chrome:
        chrome.get(f"{address}#cases")
        time.sleep(0.5)
        _save(chrome.get_screenshot_as_png(), folder / "report_dark.png")
    with browser(*PHONE) as chrome:
        chrome.get(address)
        _save(chrome.get_screenshot_as_png(), folder / "report_phone.png")
    if mlflow:
        with _mlflow_server(mlflow) as page, browser(1400, 900) as chrome:
            chrome.get(page)
            time.sleep(WAIT)
            for button in chrome.find_elements("css selector", "button[aria-label*=lose]"):  # of the assistant
                chrome.execute_script("arguments[0].click()", button)
            time.sleep(WAIT)
            _save(chrome.get_screenshot_as_png(), folder / "mlflow.png")


@contextlib.contextmanager
def _mlflow_server(uri: str) -> Iterator[str]:
    """Address of the curves of the run with the most metrics, on a server of this machine only."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = sorted(client.search_runs(ids), key=lambda run: -len(run.data.metrics))
    if not runs:
        raise UserError(f"{uri} has no run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words = [sys.executable, "-m", "mlflow", "ui", *flags]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        while server.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310
                break
            time.sleep(0.5)
        else:
            raise UserError("MLflow's server ended before it answered")
        info = runs[0].info
        yield f"{address}/#/experiments/{info.experiment_id}/runs/{info.run_id}/model-metrics"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def _save(png: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(png)) as image, replacing(path) as partial:
        image.convert("RGB").save(partial, "PNG", optimize=True)
    print(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    try:
        fire.Fire(screenshots)
    except UserError as error:
        sys.exit(str(error))
