"""Writes a network as a Python file for Hugging Face's hub and for timm's list of models.

Both files are those of `pytorch` with a few more lines, so that weights that autospace trained
load into them.
"""

import re
from typing import Final

from autospace.exporters.pytorch.export import export_architecture
from autospace.spaces import Architecture
from autospace.spaces.sequence import images_only

_CLASS: Final = "class Network(nn.Module):\n"
_TORCH: Final = "import torch\nfrom torch import nn\n"
_TYPING: Final = "from typing import NamedTuple\n"
_MAIN: Final = '\n\nif __name__ == "__main__":'
_LOADING: Final = re.compile(
    r"\nWeights that autospace trained load as they are:\n.*?\n(?=\"\"\")", re.DOTALL
)

_HUB_IMPORT: Final = "from huggingface_hub import PyTorchModelHubMixin\n"
_HUB_TEXT: Final = """
Weights that autospace trained become a folder, or a repository of the hub, with
config.json, model.safetensors and a model card (README.md):

    network = build()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
    network.save_pretrained("FOLDER")  # or network.push_to_hub("NAME/REPOSITORY")
    network = Network.from_pretrained("FOLDER")  # or "NAME/REPOSITORY"
"""
_HUB_CLASS: Final = """\
class Network(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="pytorch",
    pipeline_tag="image-classification",
    tags=["autospace", "neural-architecture-search"],
):
"""


def to_huggingface(architecture: Architecture) -> str:
    """A module whose `Network` saves to and loads from folders and repositories of the hub.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    images_only(architecture.skeleton, "the export to Hugging Face")
    source = _with(export_architecture(architecture), _HUB_TEXT, _HUB_IMPORT)
    return source.replace(_CLASS, _HUB_CLASS, 1)


_TIMM_IMPORT: Final = "from timm.models import register_model\n"
_TIMM_TEXT: Final = """
After the import of this file, timm knows the network:

    model = timm.create_model("autospace_network", num_classes=10)
    model = timm.create_model("autospace_network", checkpoint_path="model.safetensors")
"""
_TIMM_MODEL: Final = '''
@register_model
def autospace_network(pretrained: bool = False, **kwargs: Any) -> Network:
    """The network for `timm.create_model`; weights come by `checkpoint_path`."""
    if pretrained:
        raise ValueError("no pretrained weights; give checkpoint_path=FILE")
    classes = kwargs.pop("num_classes", CLASSES)
    for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(name, None)  # timm always gives them.
    if kwargs.pop("in_chans", IMAGE[0]) != IMAGE[0]:
        raise ValueError(f"in_chans: this network reads images of {IMAGE[0]} channels")
    if kwargs:
        raise TypeError(f"options that this network does not have: {', '.join(kwargs)}")
    network = build(classes or CLASSES)
    if not classes:
        network.classifier = nn.Identity()  # timm's word for features without a classifier.
    network.pretrained_cfg = {"input_size": IMAGE, "num_classes": CLASSES}
    network.num_classes = classes
    return network
'''


def to_timm(architecture: Architecture) -> str:
    """A module that registers the network as a model of timm.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    images_only(architecture.skeleton, "the export to timm")
    source = _with(export_architecture(architecture), _TIMM_TEXT, _TIMM_IMPORT)
    source = source.replace(_TYPING, "from typing import Any, NamedTuple\n", 1)
    return source.replace(_MAIN, f"\n{_TIMM_MODEL}{_MAIN}", 1)


def _with(source: str, text: str, imported: str) -> str:
    """The source with another example in its docstring, and one more import."""
    first, rest = _TORCH.split("\n", 1)
    source = _LOADING.sub(lambda _: text, source, count=1)
    return source.replace(_TORCH, f"{first}\n{imported}{rest}", 1)
