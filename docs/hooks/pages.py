"""Hook of MkDocs: files of the site that are elsewhere in the repository, and the links between all of them.

Links are written so that they hold in the repository, for a reader of the files. Here they become links of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)


def elsewhere() -> dict[str, str]:
    """Path in the repository of each file that is not in docs, and its name in the site."""
    names = {
        "README.md": "index.md",
        "scripts/data/samples/README.md": "sample_images.md",
        "LICENSE": "LICENSE.txt",
        "CITATION.cff": "CITATION.cff",
    }
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        if (ROOT / name).is_file():
            names[name] = name.lower()
    for readme in sorted(ROOT.glob("bundles/*/docs/README.md")):
        names[readme.relative_to(ROOT).as_posix()] = f"bundles/{readme.parents[1].name}.md"
    for notebook in sorted(ROOT.glob("notebooks/*.ipynb")):
        names[notebook.relative_to(ROOT).as_posix()] = f"notebooks/{notebook.name}"
    return names


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that are not in docs."""
    for source, name in elsewhere().items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    names = elsewhere()
    name = page.file.src_uri
    source = next((path for path, site in names.items() if site == name), f"docs/{name}")

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = names.get(target, target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(target, posixpath.dirname(name) or ".") + match[3]

    return "".join(part if place % 2 else LINK.sub(link, part) for place, part in enumerate(FENCE.split(markdown)))
