"""A report as a tree, read by the parser of the standard library."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})


@dataclass
class Node:
    """An element with its attributes, its own text, and its children."""

    tag: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> list["Node"]:
        found = [self] if self.tag == tag else []
        return found + [each for child in self.children for each in child.all(tag)]

    def walk(self) -> list["Node"]:
        return [self, *(each for child in self.children for each in child.walk())]

    @property
    def whole(self) -> str:
        """All text in it."""
        return self.text + "".join(child.whole for child in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        if len(node.attributes) != len(attrs):
            raise ValueError(f"<{tag}> has an attribute twice: {attrs}")
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1].tag != tag:
            raise ValueError(f"</{tag}> closes <{self._open[-1].tag}>")
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].text += data

    def closed(self) -> Node:
        if len(self._open) != 1:
            raise ValueError(f"<{self._open[-1].tag}> is not closed")
        return self.root


def parsed(text: str) -> Node:
    """The tree; raises for tags that do not nest."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.closed()


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Tags and names of attributes, in order: what no name in a file may change."""
    return [(node.tag, tuple(node.attributes)) for node in parsed(text).walk()]
