"""What pyproject.toml cannot say: an installation is one package, scanseg, made of scripts, components and bundles."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {"scanseg": "scripts", "scanseg.components": "components"}
BUNDLES = [
    "*/LICENSE",
    "*/configs/*.json",
    "*/configs/logging.conf",
    "*/docs/**/*",
    "*/models/model.pt",
    "*/models/weights.json",
]


class Build(build_py):
    """Builds from nothing, as what an older version left in build/ would be installed too, and adds the index."""

    def run(self) -> None:
        """Copy the files."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            self.copy_file("model_zoo.json", str(Path(self.build_lib) / "scanseg"))


packages = [
    name
    for package, folder in FOLDERS.items()
    for name in (package, *(f"{package}.{p}" for p in find_packages(folder)))
]
setup(
    packages=[*packages, "scanseg.bundles"],
    package_dir={**FOLDERS, "scanseg.bundles": "bundles"},
    include_package_data=False,
    package_data={
        "scanseg": ["**/*.nii.gz", "**/*.png", "**/*.md", "**/*.html", "**/*.css", "**/*.js", "**/*.json"],
        "scanseg.bundles": BUNDLES,
    },
    cmdclass={"build_py": Build},
)
