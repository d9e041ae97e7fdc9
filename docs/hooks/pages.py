"""Hook of MkDocs: pages of the site that are files elsewhere in the repository, and the links between all pages.

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
    """Path in the repository of each page that is not in docs, and its name in the site."""
    pages = {"README.md": "index.md"}
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        if (ROOT / name).is_file():
            pages[name] = name.lower()
    for readme in sorted(ROOT.glob("bundles/*/docs/README.md")):
        pages[readme.relative_to(ROOT).as_posix()] = f"bundles/{readme.parents[1].name}.md"
    return pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs."""
    for source, name in elsewhere().items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    pages = elsewhere()
    name = page.file.src_uri
    source = next((path for path, site in pages.items() if site == name), f"docs/{name}")

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = pages.get(target, target.removeprefix("docs/"))
        return match[1] + posixpath.relpath(target, posixpath.dirname(name) or ".") + match[3]

    return "".join(part if place % 2 else LINK.sub(link, part) for place, part in enumerate(FENCE.split(markdown)))
