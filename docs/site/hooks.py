"""What MkDocs does with links that leave the folder `docs`: it copies the files to `repository/`.

Pages are written for readers of the repository. On the site, their links to files beside `docs`
(the README, pictures and figures of the benchmarks) lead to copies.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = "repository"
_LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository that pages link to, and those that these link to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    known = set(waiting)
    while waiting:
        source = waiting.pop()
        for target in _targets(source):
            if target in known or target.startswith("docs/") or not (ROOT / target).is_file():
                continue
            known.add(target)
            added = File.generated(config, f"{OUTSIDE}/{target}", abs_src_path=str(ROOT / target))
            files.append(added)
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site."""
    here = page.file.src_uri
    source = here.removeprefix(f"{OUTSIDE}/") if here.startswith(OUTSIDE) else f"docs/{here}"

    def on_site(match: re.Match[str]) -> str:
        target = _resolved(source, match[1])
        uri = target.removeprefix("docs/") if target.startswith("docs/") else f"{OUTSIDE}/{target}"
        if files.get_file_from_path(uri) is None:
            return match[0]
        return os.path.relpath(uri, PurePosixPath(here).parent) + (match[2] or "")

    return _LINK.sub(on_site, markdown)


def _targets(source: str) -> list[str]:
    if not source.endswith(".md"):
        return []
    text = _FENCE.sub("", (ROOT / source).read_text("utf-8"))
    return [_resolved(source, match[1]) for match in _LINK.finditer(text)]


def _resolved(source: str, link: str) -> str:
    return os.path.normpath(PurePosixPath(source).parent / link)
