"""The value of `--max-madds` and `--max-params`."""

from typing import Final

from autospace.cli.output import InputError

LARGEST_LIMIT: Final = 10**15


def limit(option: str, text: str) -> int:
    """A count such as `5M`, `1.5k` or `300000`.

    Raises:
        InputError: no such number, or one that is no limit.
    """
    from autospace.spaces.counts import parse_count

    value = parse_count(text)
    if value is None or not 1 <= value <= LARGEST_LIMIT:
        raise InputError(f"{option} {text[:40]!r}: expected a number such as 5M")
    return value


def limit_or_word(option: str, text: str | None, words: tuple[str, ...]) -> int | str | None:
    """A limit, or one of a few words that stand for one; None stays None.

    Raises:
        InputError: neither of both.
    """
    if text is None or text in words:
        return text
    try:
        return limit(option, text)
    except InputError as error:
        raise InputError(f"{error}, {' or '.join(words)}") from None
