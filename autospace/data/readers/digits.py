"""`digits`: the 1,797 handwritten digits that scikit-learn carries inside its package."""

import numpy as np

from autospace.data.examples import DataSet
from autospace.data.readers.convert import as_examples, finish
from autospace.data.request import Request
from autospace.data.source import Source

_LARGEST_VALUE = 16


def read_digits(source: Source, request: Request) -> DataSet:
    """Reads the embedded digits: 8x8 pixels, one channel, ten classes, no download.

    Args:
        source: Of kind `digits`.
        request: Resolution, channels, limit and seed are used.

    Returns:
        The data set, values 0..16 scaled to 0..255, a fixed stratified fifth as the test split.
    """
    # Imported here: scikit-learn takes a second to import, and only this source needs it.
    from sklearn.datasets import load_digits

    found = load_digits()
    scaled = np.round(found.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    examples = as_examples(source.where, scaled[:, None], found.target)
    return finish(source.name, request, examples, None)
