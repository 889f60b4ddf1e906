"""The settings of the training of a language model, and the recipes for built-in skeletons.

The training is that of AWD-LSTM (Merity et al., ICLR 2018), which ENAS and DARTS train their cells
by: plain SGD with clipping until the validation loss stops falling, and then averaged SGD.
"""

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from autospace.runs.errors import ConfigError
from autospace.runs.settings import Section, read_config
from autospace.spaces.errors import offered, shown
from autospace.spaces.space import Architecture
from autospace.training.settings import NetworkConfig

_Share = Annotated[float, Field(ge=0, lt=1)]


class TextConfig(Section):
    """The text."""

    source: Annotated[str, Field(max_length=4096, description="text[:key=value,...][:PATH]")] = (
        "text"
    )
    limit: Annotated[int, Field(ge=20, description="tokens of a split")] | None = None


class DropoutConfig(Section):
    """Shares that training drops; see `autospace.networks.recurrent.Dropout`."""

    words: _Share = 0.0
    embedded: _Share = 0.0
    inputs: _Share = 0.0
    state: _Share = 0.0
    output: _Share = 0.0


class SgdConfig(Section):
    """The optimiser. The rate is that of a segment of the usual length."""

    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 20.0
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 8e-7
    clip: Annotated[float, Field(ge=0, le=1000)] = 0.25
    slowness: Annotated[
        float, Field(ge=0, le=1000, description="weight of the squared change of the state")
    ] = 0.0
    patience: Annotated[
        int, Field(ge=0, le=10_000, description="epochs without progress; 0: no averaging")
    ] = 5


class TextTrainingConfig(Section):
    """Duration and batches."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    batch: Annotated[int, Field(ge=1, le=65_536, description="columns of the text")] = 32
    varied: Annotated[bool, Field(description="whether the length of segments varies")] = True


class TextTrainConfig(NetworkConfig):
    """Everything that determines the result of a training, except the architecture."""

    data: TextConfig = TextConfig()
    dropout: DropoutConfig = DropoutConfig()
    optimizer: SgdConfig = SgdConfig()
    training: TextTrainingConfig = TextTrainingConfig()


_PUBLISHED: Final = {
    "dropout": {"words": 0.1, "embedded": 0.2, "inputs": 0.75, "state": 0.25, "output": 0.75},
    "optimizer": {"slowness": 1e-3},
    "training": {"epochs": 3000, "batch": 64},
}
TEXT_RECIPES: Final[dict[str, dict[str, Any]]] = {
    "rnn-small": {"optimizer": {"learning_rate": 5.0}},
    "enas-rnn": {**_PUBLISHED, "training": {"epochs": 3000, "batch": 128}},
    "darts-rnn": _PUBLISHED,
}
"""The last two are for the Penn Treebank, and take days without a GPU."""


def text_recipe(name: str | None, architecture: Architecture) -> dict[str, Any]:
    """The settings of a recipe, or of a file of settings; by default those of the skeleton.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name is None:
        usual = TEXT_RECIPES["rnn-small"]
        return TEXT_RECIPES.get(architecture.skeleton.name.removesuffix("-paper"), usual)
    if name in TEXT_RECIPES:
        return TEXT_RECIPES[name]
    if not name.endswith(".toml"):
        words = f"for a network that reads text {', '.join(TEXT_RECIPES)}, or a .toml file"
        raise ConfigError(f"recipe {shown(name)}: {offered(name, TEXT_RECIPES, words)}")
    return read_config(Path(name), "train")
