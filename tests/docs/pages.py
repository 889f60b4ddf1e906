"""What a page of the documentation holds: fenced blocks, code spans, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = ROOT / "docs" / "guide"
# Guides that are followed to the letter: their programs are no examples that run alone.
FOLLOWED_CLIENTS = tuple(GUIDE / f"{name}.md" for name in ("configspace-neps", "nni", "optuna"))
FOLLOWED_NETWORKS = tuple(GUIDE / f"{name}.md" for name in ("onnxruntime", "pytorch"))
FOLLOWED_PYTHON = GUIDE / "python.md"
_FOLLOWED = (*FOLLOWED_CLIENTS, *FOLLOWED_NETWORKS, FOLLOWED_PYTHON)
_FRONT = (
    "README.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
)
ALL_PAGES = (*(ROOT / name for name in _FRONT), *sorted((ROOT / "docs").rglob("*.md")))
# Pages whose fenced programs are examples.
PAGES = tuple(path for path in ALL_PAGES if path not in _FOLLOWED)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MATH = re.compile(r"\$`[^`]*`\$")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: the name behind the fence, and the text."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """A page by its text."""

    text: str

    @classmethod
    def of(cls, path: Path) -> "Page":
        return cls(path.read_text("utf-8"))

    @property
    def blocks(self) -> list[Block]:
        return [Block(*match) for match in _FENCE.findall(self.text)]

    @property
    def prose(self) -> str:
        """The text without fenced blocks and formulas."""
        return _MATH.sub("", _FENCE.sub("", self.text))

    @property
    def spans(self) -> list[str]:
        return _SPAN.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(_SPAN.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        return {_slug(heading) for heading in _HEADING.findall(self.prose)}

    def section(self, heading: str) -> str:
        """The text below `## heading`, up to the next heading of that level."""
        return self.text.split(f"\n## {heading}\n")[1].split("\n## ")[0]

    def shell_lines(self, program: str) -> Iterator[str]:
        """The lines of blocks that call a program, with or without a prompt."""
        for block in self.blocks:
            if block.language not in {"python", "json", "toml", "math"}:
                for line in block.text.replace("\\\n", " ").splitlines():
                    if line.removeprefix("$ ").startswith(f"{program} "):
                        yield line.removeprefix("$ ")

    def broken_links(self, folder: Path) -> list[str]:
        """Links that lead nowhere, seen from the folder of the page."""
        return [link for link in self.links if not _resolves(link, folder, self)]

    def missing_files(self) -> list[str]:
        """Code spans that look like a path of the repository and are none."""
        named = [span for span in self.spans if _REPOSITORY_PATH.fullmatch(span)]
        return [span for span in named if not (ROOT / span).exists()]


_REPOSITORY_PATH = re.compile(r"(autospace|benchmarks|cli|docs|spaces|tests|\.ci)/[\w./-]*")


def _slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower().replace("`", ""))
    return kept.replace(" ", "-")


def _resolves(link: str, folder: Path, page: Page) -> bool:
    if "://" in link:
        return True
    file, _, anchor = link.partition("#")
    target = folder / file
    if file and not target.exists():
        return False
    if not anchor:
        return True
    return anchor in (Page.of(target) if file else page).anchors
