"""The settings of the images of a run, a comparison or a search."""

from typing import Annotated, Final, Literal

from pydantic import Field

from autospace.runs.settings import Section

PYTHON: Final = "python"
"""The source of images that a Python program passes; see `autospace.data.readers.arrays`."""

WITH_PATH: Final = frozenset({"folder", "cifar10", "cifar100", "idx", "npz", "shards"})
"""The kinds of sources that name files; the others are what the program itself brings."""

Aspect = Literal["squash", "crop", "pad"]
"""How an image gets other proportions: it is squashed, cut at its longer sides, or padded."""

GROUND: Final = r"white|black|grey|#[0-9a-fA-F]{6}"
Ground = Annotated[str, Field(pattern=f"^({GROUND})$", description="white, black, grey or #RRGGBB")]
"""A colour below transparent images and around padded ones."""


class DataConfig(Section):
    """The images, and how they are prepared."""

    source: Annotated[
        str, Field(max_length=4096, description="digits, folder:PATH, cifar10:PATH, ...")
    ] = "digits"
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = None
    limit: Annotated[int, Field(ge=20)] | None = None
    aspect: Aspect = "squash"
    ground: Ground = "white"
    validation: Annotated[float, Field(gt=0.05, lt=0.95)] = 0.5
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(ge=0, le=256)] = 0
