"""Damage to files: what disks, editors, transfers and attackers do, from a seed."""

import json
import random
import re
from collections.abc import Iterator

from autospace.runs.files import sealed

TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[-+\w.]+|[\[\]{}():,=|~]')
HOSTILE = (
    *("", " ", "null", "true", "false", "0", "-1", "1", "1.5", "-0.0", "1e999", "-1e999", "1e-400"),
    *("NaN", "nan", "Infinity", "-inf", "9" * 25, "9" * 5000, "0x10", "1979-05-27", "[]", "{}"),
    *(
        "[" * 60,
        "]",
        "[" * 2_000,
        "{" * 40,
        '{"a":' * 200,
        "}",
        "(" * 300,
        '""',
        '"',
        "'",
        '"x"',
    ),
    *('"\\ud800"', '"\\u0000"', '"\\u202e"', '"\x07"', '"' + "x" * 5000 + '"', '"line\\nend"'),
    *(
        ",",
        ":",
        "=",
        ",,",
        "# comment",
        "/* */",
        "\n",
        "\r",
        "\t",
        "\x00",
        "..",
        "a.b.c.d",
        "&a",
        "*a",
    ),
    *("!!python/object:os.system", "<<: *a", "- - - -", "true: true", "\ufeff", "\u2028", "ключ"),
)
SMALL = (
    *("null", "true", "-1", "0", "1", "2", "1.5", "1e300", "[]", "{}", '""', '"x"', "1e999"),
    *("9" * 25, '"layer_00"', "[[[1]]]", '{"a": 1}'),
)
"""Values that most parsers take."""
WHOLE = (
    b"",
    b" \n\t\n",
    b"\x00" * 64,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"0",
    b"1e999",
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"9" * 10_000,
    b"\x80\x04\x95",
    b"PK\x03\x04",
    b"\x1f\x8b\x08\x00",
    b"\x89PNG\r\n\x1a\n",
    b"<html>404</html>",
    b"version https://git-lfs.github.com/spec/v1\n",
)


def damaged(raw: bytes, count: int, seed: int) -> Iterator[bytes]:
    """So many damaged versions of any file: of its bytes and, if it is text, of its words."""
    rng = random.Random(seed)
    for index in range(count):
        if index < len(WHOLE):
            yield WHOLE[index]
        elif index % 3 == 0:
            yield _bytes(raw, rng)
        else:
            yield edited(raw, rng)


def edited(raw: bytes, rng: random.Random) -> bytes:
    """A text with some of its words exchanged, or all of it in another encoding."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes(raw, rng)
    if rng.random() < 0.04:
        return _encoded(text, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        text = _exchanged(text, rng)
    return text.encode("utf-8", "surrogatepass")


def resealed(raw: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Damaged versions of a sealed text, sealed anew: their values get behind the seal."""
    for each in damaged(unsealed(raw.decode()).encode(), count, seed):
        try:
            yield sealed(each.decode()).encode()
        except UnicodeDecodeError:
            yield each


def unsealed(text: str) -> str:
    """The text that was sealed."""
    return text[: text.rindex(',"sha256"')] + "}"


def safetensors(raw: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Damaged versions of a safetensors file: half of them with a changed header of right size."""
    rng = random.Random(seed)
    size = int.from_bytes(raw[:8], "little")
    for index, each in enumerate(damaged(raw, count, seed)):
        if index < len(WHOLE) or index % 2:
            yield each
            continue
        header = edited(raw[8 : 8 + size], rng)
        yield len(header).to_bytes(8, "little") + header + raw[8 + size :]


def _bytes(raw: bytes, rng: random.Random) -> bytes:
    data, at = bytearray(raw or b"\x00"), rng.randrange(len(raw) or 1)
    match rng.randrange(6):
        case 0 | 1:
            for _ in range(rng.choice((1, 1, 2, 8))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            del data[at:]
        case 3:
            del data[at : at + rng.randrange(1, 64)]
        case 4:
            data[at:at] = rng.randbytes(rng.randrange(1, 16))
        case _:
            other = rng.randrange(len(data))
            data[at:at] = data[other : other + rng.randrange(1, 256)]
    return bytes(data)


def _encoded(text: str, rng: random.Random) -> bytes:
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037"))
    return text.replace("\n", rng.choice(("\n", "\r\n", "\r"))).encode(encoding, "replace")


def _exchanged(text: str, rng: random.Random) -> str:
    words = list(TOKEN.finditer(text))
    if not words:
        return rng.choice(HOSTILE)
    word, other = rng.choice(words), rng.choice(words)
    new = rng.choice((rng.choice(SMALL), rng.choice(SMALL), other[0], rng.choice(HOSTILE)))
    if new.startswith('"') or rng.random() < 0.7:
        return text[: word.start()] + new + text[word.end() :]
    return text[: word.start()] + json.dumps(new) + text[word.end() :]
