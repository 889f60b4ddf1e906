"""The settings of the images of a run, a comparison or a search."""

from typing import Annotated, Final

from pydantic import Field

from autospace.runs.settings import Section

PYTHON: Final = "python"
"""The source of images that a Python program passes; see `autospace.data.readers.arrays`."""


class DataConfig(Section):
    """The images, and how they are prepared."""

    source: Annotated[
        str, Field(max_length=4096, description="digits, folder:PATH, cifar10:PATH, ...")
    ] = "digits"
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = None
    limit: Annotated[int, Field(ge=20)] | None = None
    validation: Annotated[float, Field(gt=0.05, lt=0.95)] = 0.5
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(ge=0, le=256)] = 0
