"""Data that needs no file: `digits`, and the generated images of `synthetic[:key=value,...]`.

A network can learn the label of a generated image only if it has a known ability.
`kind=gratings` (the default) is easy: the class is the orientation and frequency of a noisy
grating. `kind=wide` requires a wide kernel. On a torus of R x R pixels, pairs of dots are placed
uniformly at random; both dots of a pair have the same random sign, and the second dot lies at the
offset of the image's class from the first:

    class    0      1      2       3        4       5        6       7
    offset  (0,d)  (d,0)  (d,d)  (d,-d)  (d,d/2) (d,-d/2) (d/2,d) (-d/2,d)     (rows, columns)

with d = `distance`, 6 by default. Dots of the same pair are at least d apart along one axis (R is
at least 2 d, so this holds around the torus too). A window of up to d x d pixels therefore never
holds both, and each dot alone is uniform with a random sign: *the joint distribution of the pixels
in any such window is the same for all classes*. Whatever a layer computes from windows of that
size, its global average has the same mean for all classes. So 3x3 and 5x5 kernels, and 3x3 with
dilation 2 (a window of 5), cannot tell the classes apart for d = 6. A 7x7 kernel covers both dots
of every class, and so does 3x3 with dilation 3, whose taps are 0, 3 and 6 pixels apart. Measured
accuracies with one convolution of 32 channels, batch normalisation, ReLU6, global average and a
linear layer, 400 steps on 4 classes: 3x3 26 %, 5x5 26 %, 3x3 dilation 2 26 %; 7x7 73 %,
3x3 dilation 3 87 %.

Stacked layers widen the window: two 3x3 layers see 5x5, three see 7x7; after a stride, or a pooling
that is not global, every further pixel counts several. Mirroring swaps classes: do not use flips.
"""

import gzip
import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np

from autospace.data.errors import DataError, check_bytes
from autospace.data.examples import DataSet, Examples
from autospace.data.readers.convert import as_examples, finish
from autospace.data.request import Request, Source
from autospace.progress import Tick
from autospace.seeds import derived_seed
from autospace.spaces.errors import offered

_DIGITS = "digits.csv.gz"
# Of the file as scikit-learn 1.9.1 ships it; digits-license.txt states its origin and licences.
_DIGITS_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
_DIGITS_SIDE = 8
_LARGEST_VALUE = 16


def read_digits(source: Source, request: Request) -> DataSet:
    """Reads the embedded digits: 8x8 pixels, one channel, ten classes, no download.

    Args:
        source: Of kind `digits`.
        request: Resolution, channels, limit and seed are used.

    Returns:
        The data set, values 0..16 scaled to 0..255, a fixed stratified fifth as the test split.

    Raises:
        DataError: The file of this installation is missing or damaged.
    """
    # Rows of 64 values from 0 to 16 and a digit from 0 to 9: Alpaydin and Kaynak 1998, UCI data
    # set 80, the 1,797 images of the test split.
    rows = np.loadtxt(io.BytesIO(gzip.decompress(_digits_file())), delimiter=",", dtype=np.uint8)
    images = rows[:, :-1].reshape(-1, 1, _DIGITS_SIDE, _DIGITS_SIDE)
    scaled = np.round(images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    examples = as_examples(source.where, scaled, rows[:, -1])
    return finish(source.name, request, examples, None)


def _digits_file() -> bytes:
    path = resources.files("autospace.data.readers") / "data" / _DIGITS
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"digits: {path}: {error.strerror}; install autospace again") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != _DIGITS_SHA256:
        raise DataError(
            f"digits: {path} is damaged: its SHA-256 is {found}; allowed: {_DIGITS_SHA256}; "
            "install autospace again"
        )
    return packed


_BOUNDS = {
    "classes": (2, 100),
    "train": (2, 10**6),
    "test": (2, 10**6),
    "resolution": (4, 512),
    "channels": (1, 3),
    "seed": (0, 2**63 - 1),
    "distance": (2, 256),
}
_MOST_WIDE_CLASSES = 8
_GREY = 127.5
_AMPLITUDE = 55.0
_PIXELS_PER_PAIR = 20
_WIDE_NOISE = 0.2
_GRATING_NOISE = 0.6
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a generated set.

    Attributes:
        kind: `gratings` or `wide`.
        classes: 2 or more; at most 8 for `wide`.
        train: Training examples.
        test: Test examples.
        resolution: Side in pixels.
        channels: 1 or 3; `wide` repeats one channel.
        seed: Seed of the generator.
        distance: d of the module's table, in pixels; `wide` only.

    Raises:
        DataError: A value is out of bounds, or values do not fit each other.
    """

    kind: str = "gratings"
    classes: int = 4
    train: int = 1000
    test: int = 400
    resolution: int = 16
    channels: int = 1
    seed: int = 0
    distance: int = 6

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.kind not in _MAKERS:
            raise _bad("kind", self.kind, " or ".join(_MAKERS))
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise _bad(name, getattr(self, name), f"{low} to {high}")
        if self.channels == 2:
            raise _bad("channels", self.channels, "1 or 3")
        for name in ("train", "test"):
            if getattr(self, name) < self.classes:
                raise _bad(name, getattr(self, name), f"{self.classes} (the classes) or more")
            check_bytes("synthetic", (getattr(self, name), self.channels, *[self.resolution] * 2))
        if self.kind == "wide":
            self._check_wide()

    def _check_wide(self) -> None:
        if self.classes > _MOST_WIDE_CLASSES:
            raise _bad("classes", self.classes, f"2 to {_MOST_WIDE_CLASSES} for kind=wide")
        if self.resolution < 2 * self.distance:
            least = f"{2 * self.distance} (twice the distance) or more for kind=wide"
            raise _bad("resolution", self.resolution, least)

    def offsets(self) -> np.ndarray:
        """Offset in (rows, columns) that stands for each class of `wide`, int [classes, 2]."""
        d, half = self.distance, self.distance // 2
        straight = [(0, d), (d, 0), (d, d), (d, -d)]
        return np.array([*straight, (d, half), (d, -half), (half, d), (-half, d)])[: self.classes]


def read_synthetic(source: Source, request: Request) -> DataSet:
    """Generates a data set.

    Args:
        source: Its options are fields of `Recipe`.
        request: Resolution and channels win over the options, so that nothing is resized; limit
            and seed choose among the generated examples.

    Returns:
        The data set.

    Raises:
        DataError: An option is unknown or out of bounds.
    """
    recipe = make_recipe(source.options, request)
    train, test = (generate(recipe, split, request.tick) for split in ("train", "test"))
    names = tuple(f"{recipe.kind}-{index}" for index in range(recipe.classes))
    return finish(f"synthetic:{recipe.kind}", request, train, test, names)


def make_recipe(options: dict[str, str], request: Request) -> Recipe:
    """Reads options.

    Args:
        options: Field names of `Recipe` and values as text.
        request: Its resolution and channels win over the options.

    Returns:
        The recipe.

    Raises:
        DataError: An option is unknown or out of bounds.
    """
    numbers: dict[str, int] = {}
    for name, text in options.items():
        if name == "kind":
            continue
        if name not in _BOUNDS:
            allowed = offered(name, ("kind", *_BOUNDS))
            raise DataError(f"synthetic: unknown option {name!r}; {allowed}")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise _bad(name, text, "a whole number, 0 or more")
        numbers[name] = int(text)
    if request.resolution is not None:
        numbers["resolution"] = request.resolution
    if request.channels is not None:
        numbers["channels"] = request.channels
    return Recipe(options.get("kind", "gratings"), **numbers)


def generate(recipe: Recipe, split: str, tick: Tick) -> Examples:
    """Generates one split.

    Args:
        recipe: What to make.
        split: `train` or `test`; each has its own random numbers.
        tick: Receives the images done and the total.

    Returns:
        Examples in random order, classes as equal in size as can be.
    """
    count = recipe.train if split == "train" else recipe.test
    random = np.random.default_rng(derived_seed(recipe.seed, "data synthetic", split))
    labels = random.permutation(np.arange(count) % recipe.classes)
    images = np.empty((count, recipe.channels, *[recipe.resolution] * 2), dtype=np.uint8)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        signal = _MAKERS[recipe.kind](recipe, labels[part], random)
        images[part] = np.clip(np.rint(_GREY + _AMPLITUDE * signal), 0, 255)
        tick(min(start + _CHUNK, count), count)
    return as_examples("synthetic", images, labels)


def _gratings(recipe: Recipe, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    count, side = len(labels), recipe.resolution
    turns = (recipe.classes + 1) // 2
    angle = np.pi * (labels % turns) / turns
    cycles = np.where(labels < turns, side / 8, side / 4)
    rows, columns = np.mgrid[:side, :side] / side
    across, down = 2 * np.pi * cycles * np.cos(angle), 2 * np.pi * cycles * np.sin(angle)
    wave = across[:, None, None] * columns + down[:, None, None] * rows
    phase = random.uniform(0, 2 * np.pi, (count, 1, 1))
    contrast = random.uniform(0.5, 1.5, (count, recipe.channels, 1, 1))
    noise = random.normal(0, _GRATING_NOISE, (count, recipe.channels, side, side))
    return np.asarray(contrast * np.sin(wave + phase)[:, None] + noise)


def _wide(recipe: Recipe, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    count, side = len(labels), recipe.resolution
    pairs = math.ceil(side * side / _PIXELS_PER_PAIR)
    places = random.integers(0, side, (count, pairs, 2))
    signs = random.choice((-1.0, 1.0), (count, pairs))
    image = np.arange(count)[:, None]
    signal = random.normal(0, _WIDE_NOISE, (count, side, side))
    for offset in (np.zeros((count, 1, 2), dtype=np.int64), recipe.offsets()[labels][:, None]):
        row, column = np.moveaxis((places + offset) % side, -1, 0)
        # `add.at`, because dots may fall on each other, and then add up.
        np.add.at(signal, (image, row, column), signs)
    return signal[:, None]


def _bad(name: str, value: object, allowed: str) -> DataError:
    return DataError(f"synthetic: option {name}={value} is not possible; allowed: {allowed}")


_MAKERS: dict[str, Callable[[Recipe, np.ndarray, np.random.Generator], np.ndarray]] = {
    "gratings": _gratings,
    "wide": _wide,
}
