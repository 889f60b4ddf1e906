"""Opens image files: which formats, under which guards, and what the header says.

Only decoders that start no other program see a file. Pillow looks at the first bytes, so the suffix
of a file does not matter.
"""

import errno
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from typing import Final

from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

SUFFIXES: Final = frozenset({
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".ppm",
    ".pgm", ".pbm", ".pnm", ".pfm", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".tga", ".qoi",
})  # fmt: skip
"""A file that ends so counts as an image even if it is damaged."""

HEIF_ADVICE: Final = "which need pip install 'autospace[heif]'"

_FORMATS = (
    "PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF", "AVIF", "JPEG2000", "QOI", "ICO", "PCX",
    "SGI", "DIB", "PSD", "HEIF",
)  # fmt: skip
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# Image editors write megabytes of text; Pillow's own limit of 1 MiB for a part refuses the pixels.
_LONGEST_TEXT = 16 * 2**20

_GREY_MODES = frozenset({"1", "L", "LA", "La", "F"})


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image file says.

    Attributes:
        width: Pixels, as the image is shown: after the rotation that its EXIF data ask for.
        height: Likewise.
        grey: It has one channel, besides transparency.
        deep: One value takes more than 8 bits.
        real: Its values are floats.
        frames: It has several frames or pages.
    """

    width: int
    height: int
    grey: bool
    deep: bool
    real: bool
    frames: bool


@dataclass(frozen=True, slots=True)
class InArchive:
    """Where an image lies in a tar archive that is not compressed.

    Attributes:
        path: The archive.
        start: The first byte.
        size: Bytes.
    """

    path: str
    start: int
    size: int

    def read(self) -> bytes:
        """The bytes of the image."""
        with open(self.path, "rb") as stream:
            stream.seek(self.start)
            return stream.read(self.size)


@contextmanager
def guarded() -> Iterator[None]:
    """Sets Pillow's limits. They are global: set them around the threads, and not in them."""
    before = PngImagePlugin.MAX_TEXT_CHUNK
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        PngImagePlugin.MAX_TEXT_CHUNK = max(before, _LONGEST_TEXT)
        try:
            yield
        finally:
            PngImagePlugin.MAX_TEXT_CHUNK = before


def open_image(path: str, inside: InArchive | None = None) -> Image.Image:
    """Opens a file; the pixels are not decoded yet.

    Args:
        path: The file.
        inside: Where its bytes are, if it lies in an archive; `path` then is a name.

    Returns:
        The image; close it.

    Raises:
        Exception: Whatever a decoder raises on a file that it cannot read; see `why`.
    """
    # The format TGA has no mark in its first bytes.
    formats = ("TGA",) if path.lower().endswith(".tga") else _formats()
    return Image.open(path if inside is None else BytesIO(inside.read()), formats=formats)


def header(path: str, inside: InArchive | None = None) -> Header | str:
    """Reads the header of an image file.

    Args:
        path: The file.
        inside: As for `open_image`.

    Returns:
        The header, or why there is none.
    """
    try:
        with open_image(path, inside) as image:
            width, height = image.size
            # Pillow has turned the sides of a TIFF file already.
            if image.format != "TIFF" and orientation(image) >= ON_THEIR_SIDE:
                width, height = height, width
            whole, real = image.mode.startswith("I"), image.mode.startswith("F")
            grey = image.mode in _GREY_MODES or whole
            return Header(width, height, grey, whole or real, real, _frames(image))
    except Exception as error:  # A broken file may raise anything.
        return why(error, path, inside)


def opens(path: str, head: bytes) -> bool:
    """Whether a file is an image, whatever its name.

    Args:
        path: The file.
        head: Its first bytes.
    """
    if not any(_accepts(name, head) for name in _formats()):
        return False
    try:
        with guarded(), open_image(path):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:  # An image, if a damaged or too large one: reading it says why.
        return True


def _accepts(name: str, head: bytes) -> bool:
    _, accept = Image.OPEN[name]
    with suppress(Exception):
        # A text says what is missing to read such a file.
        found = accept is not None and accept(head)
        return bool(found) and not isinstance(found, str)
    return False


_ORIENTATION = ExifTags.Base.Orientation
ON_THEIR_SIDE: Final = 5
"""From this orientation on, width and height are exchanged."""
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn an image with an EXIF orientation so that it is upright."""


_BEFORE_PIXELS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")


def orientation(image: Image.Image, *, loaded: bool = False) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 where there is none, or damaged EXIF data.

    Args:
        image: An open image.
        loaded: The pixels are decoded; a PNG file may have its EXIF data behind them.
    """
    if image.format == "PNG" and not loaded and image.info.keys().isdisjoint(_BEFORE_PIXELS):
        return 1  # Pillow would decode the image to look behind it, and remember what it found.
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Damaged EXIF data; the pixels may be fine.
        return 1
    return found if found in TURNS else 1


def looks_like_heif(head: bytes) -> bool:
    """Whether the first bytes are those of a HEIC image, which Pillow alone cannot read."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def why(error: Exception, path: str, inside: InArchive | None = None) -> str:
    """The reason why a file is unreadable, equal for files that are unreadable alike.

    Args:
        error: What opening or decoding it raised.
        path: The file.
        inside: As for `open_image`.

    Returns:
        A few words, such as `truncated`.
    """
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return _unknown(path, inside)
    text = str(error).partition("\n")[0]
    if "truncated" in text.lower() or isinstance(error, EOFError | struct.error):
        return "truncated"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "not enough memory"
    # Numbers differ from file to file.
    short = re.sub(r"\(.*?\)|0x[0-9a-f]+", "", text).strip()[:80].rstrip(".: ")
    return short or type(error).__name__


# What Pillow says when its own parts are missing, or when it finds no memory.
_OF_PILLOW = re.compile(r"decoder .* not available|out of memory")


def passing(error: Exception, reason: str) -> bool:
    """Whether a file may become readable although it stays as it is.

    The cause then lies around the file: a part of Pillow that is missing, a permission, memory, or
    a disk. The reader of HEIC is none: images that another one decoded have another cache key.

    Args:
        error: What opening or decoding it raised.
        reason: What `why` says of it.
    """
    if isinstance(error, MemoryError | ImportError):
        return True
    # A damaged file may send its decoder to a place that no file has, which is EINVAL.
    by_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return by_system or _OF_PILLOW.search(reason) is not None


def _unknown(path: str, inside: InArchive | None) -> str:
    if inside is None:
        with open(path, "rb") as stream:
            head = stream.read(64)
    else:
        head = inside.read()[:64]
    if not head:
        return "empty"
    if looks_like_heif(head):
        return f"HEIC images, {HEIF_ADVICE}"
    if head.startswith(b"version https://git-lfs"):
        return "pointers of Git LFS; run git lfs pull"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "web pages"
    return "no image format that is known"


def _frames(image: Image.Image) -> bool:
    # A telephone puts a preview behind a JPEG image (MPO), which nobody means.
    with suppress(Exception):
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    heif_reader()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@cache
def heif_reader() -> str:
    """Registers the reader of HEIC images.

    Returns:
        Its name and version; empty if none is installed. One that is installed later counts in the
        next process.
    """
    # The extra `heif`; pillow-heif is the same reader with an encoder.
    if find_spec("pi_heif") is not None:
        import pi_heif

        pi_heif.register_heif_opener()
        return f"pi_heif {pi_heif.__version__}"
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
        return f"pillow_heif {pillow_heif.__version__}"
    return ""
