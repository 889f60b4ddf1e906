"""A contact sheet: some images of every class, to see with one's own eyes what was read."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from autospace.data.examples import DataSet, Examples
from autospace.data.summary import lines_of
from autospace.spaces.text import visible

OF_TRAIN: Final = 8
OF_TEST: Final = 4
MOST_CLASSES: Final = 200
_SIDE = 64
_GAP = 4
_TEXT = 14


def left_out(data: DataSet) -> str:
    """Which classes a sheet does not show; empty if it shows all."""
    count = len(data.classes)
    return f"the first {MOST_CLASSES} of {count} classes are shown" if count > MOST_CLASSES else ""


def sheet_png(data: DataSet) -> bytes:
    """A row of training and test images per class, as a PNG file.

    Args:
        data: What was read; of more than `MOST_CLASSES` classes the first are shown.

    Returns:
        The file. A class is named above its row; a wide gap stands between the splits.
    """
    rows = [
        (name, _strip(data.train, label, OF_TRAIN), _strip(data.test, label, OF_TEST))
        for label, name in enumerate(data.classes[:MOST_CLASSES])
    ]
    step = _TEXT + _SIDE + 2 * _GAP
    width = (OF_TRAIN + OF_TEST) * (_SIDE + _GAP) + 5 * _GAP
    sheet = Image.new("RGB", (width, step * len(rows) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT - 3)
    train, test = data.reading.train, data.reading.test
    for place, (name, learned, measured) in enumerate(rows):
        top = _GAP + place * step
        caption = f"{visible(name)[:60]}: {train[place]} training, {test[place]} test"
        draw.text((_GAP, top), caption, "black", font)
        sheet.paste(learned, (_GAP, top + _TEXT + _GAP))
        sheet.paste(measured, (4 * _GAP + OF_TRAIN * (_SIDE + _GAP), top + _TEXT + _GAP))
    return _png(sheet)


def sheet_html(data: DataSet) -> str:
    """What was read, and the images of each class, as one HTML file that needs no other.

    Args:
        data: What was read; of more than `MOST_CLASSES` classes the first are shown.
    """
    train, test = data.reading.train, data.reading.test
    said = [*lines_of(data), *filter(None, [left_out(data)])]
    lines = "".join(f"<li>{html.escape(visible(line))}</li>" for line in said)
    rows = "".join(
        f"<tr><th>{html.escape(visible(name))}</th><td>{train[label]}</td>"
        f"<td>{_image(data.train, label, OF_TRAIN)}</td><td>{test[label]}</td>"
        f"<td>{_image(data.test, label, OF_TEST)}</td></tr>"
        for label, name in enumerate(data.classes[:MOST_CLASSES])
    )
    return _PAGE.format(title=html.escape(visible(data.name)), style=_STYLE, lines=lines, rows=rows)


_STYLE = "body{font:14px sans-serif}th{text-align:left}td,th{padding:2px 8px}"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>{style}</style></head><body><h1>{title}</h1><ul>{lines}</ul>
<table><tr><th>class</th><th colspan="2">training images</th><th colspan="2">test images</th></tr>
{rows}</table></body></html>
"""


def _image(split: Examples, label: int, most: int) -> str:
    content = base64.b64encode(_png(_strip(split, label, most))).decode()
    return f'<img alt="" src="data:image/png;base64,{content}">'


def _strip(split: Examples, label: int, most: int) -> Image.Image:
    """Some images of a class, evenly spread over the split, side by side."""
    strip = Image.new("RGB", (most * (_SIDE + _GAP), _SIDE), "white")
    for place, index in enumerate(_spread(torch.nonzero(split.labels == label)[:, 0], most)):
        strip.paste(_thumbnail(split.images[index]), (place * (_SIDE + _GAP), 0))
    return strip


def _spread(indices: torch.Tensor, most: int) -> Sequence[int]:
    if len(indices) <= most:
        return [int(index) for index in indices]
    return [int(indices[int(place)]) for place in np.linspace(0, len(indices) - 1, most)]


def _thumbnail(image: torch.Tensor) -> Image.Image:
    pixels = image.permute(1, 2, 0).cpu().contiguous().numpy()
    whole = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    factor = _SIDE / max(whole.size)
    size = (max(1, round(whole.width * factor)), max(1, round(whole.height * factor)))
    # Small images stay as they are, enlarged: smooth pixels would hide what a network gets.
    sampling = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR
    return whole.resize(size, sampling)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
