"""Names out of files, made harmless for a terminal and for XML."""

from html import escape


def visible(text: str) -> str:
    """The text on one line, with control and other invisible characters spelled as escapes.

    A name in a file may hold escape sequences of the terminal, or characters that XML forbids.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def xml(text: str) -> str:
    """The text for element content and attribute values of an XML document."""
    return escape(visible(text))


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
