"""The formats to which a space or an architecture can be exported."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from autospace.exporters import (
    autospace_iccv2021,
    genotypes,
    graphs,
    hubs,
    json_clients,
    nni_python,
    proxylessnas,
    python_clients,
    svg,
    tabular,
    timm_strings,
    yaml_clients,
)
from autospace.exporters.pytorch import export as pytorch_files
from autospace.spaces import Architecture, Space, SpaceError
from autospace.spaces.errors import shown

Value = TypeVar("Value")
Takes = Literal["space", "architecture", "both"]


@dataclass(frozen=True, slots=True)
class Target:
    """One format.

    Attributes:
        purpose: its purpose, in one line.
        reader: the package that reads it; empty where the standard library or a viewer does.
        suffix: the end of the names of its files.
        space: makes its text from a space; None if only an architecture can be exported.
        architecture: makes its text from an architecture; None if only a space can be exported.
        note: what is worth knowing of the text that a space gives; empty if nothing is.
        deployed: whether it is a binary file, written by `autospace.networks.deploy` instead.
        rules: whether it can say that of the layers of a stage only the last ones are skipped, or
            does not offer choices at all.
    """

    purpose: str
    reader: str
    suffix: str
    space: Callable[[Space], str] | None = None
    architecture: Callable[[Architecture], str] | None = None
    deployed: bool = False
    note: Callable[[Space], str] | None = None
    rules: bool = False

    def text(self, value: Space | Architecture) -> str:
        """What a file holds of a value that can be exported to it.

        Raises:
            SpaceError: the target cannot hold the value.
        """
        if isinstance(value, Architecture):
            return _given(self.architecture)(value)
        if value.skeleton.stages and not self.rules:
            problem = f"{shown(value.name)} has stages, of which only the last layers are skipped"
            ruled = [name for name, each in TARGETS.items() if each.space and each.rules]
            allowed = ", ".join(ruled)
            raise SpaceError("stages", f"{problem}; targets of spaces that say so: {allowed}")
        return _given(self.space)(value)

    @property
    def takes(self) -> Takes:
        """What can be exported to it."""
        if self.space is None:
            return "architecture"
        return "space" if self.architecture is None else "both"


def _given(write: Callable[[Value], str] | None) -> Callable[[Value], str]:
    if write is None:
        raise TypeError("nothing of this kind can be exported to this target")
    return write


# Tuners first, then networks, then tables and pictures. A purpose of up to 33 characters keeps to
# its line of the list in a terminal of 80 columns.
TARGETS: Final[dict[str, Target]] = {
    "configspace": Target(
        "also for neps, SMAC3 and DEHB",
        "ConfigSpace",
        ".json",
        json_clients.to_configspace,
        rules=True,
    ),
    "optuna": Target(
        "distributions; for optuna ask too", "optuna", ".json", json_clients.to_optuna
    ),
    "nni": Target("search space of NNI's tuners", "nni", ".json", json_clients.to_nni),
    "nni-python": Target("a network of choices for nni.nas", "nni", ".py", nni_python.export_space),
    "ray": Target(
        "param_space of Ray Tune, a grid",
        "ray[tune]",
        ".json",
        json_clients.to_ray,
        note=json_clients.note_on_ray,
    ),
    "wandb": Target("a sweep of Weights & Biases", "wandb", ".yaml", yaml_clients.to_wandb),
    "syne-tune": Target(
        "a config_space, with costs", "syne-tune", ".py", python_clients.to_syne_tune
    ),
    "neps": Target("a PipelineSpace, with costs", "neps", ".py", python_clients.to_neps),
    "ax": Target("parameters of Ax, with costs", "ax-platform", ".py", python_clients.to_ax),
    "hydra": Target(
        "a sweep of Hydra",
        "hydra-core",
        ".yaml",
        yaml_clients.to_hydra,
        note=yaml_clients.note_on_hydra,
    ),
    "pyglove": Target("a symbolic dict of oneof", "pyglove", ".json", json_clients.to_pyglove),
    "nevergrad": Target(
        "a parametrization, with costs", "nevergrad", ".py", python_clients.to_nevergrad
    ),
    "pymoo": Target("a problem: error against cost", "pymoo", ".py", python_clients.to_pymoo),
    "archai": Target("a discrete search space", "archai", ".py", python_clients.to_archai),
    "flat": Target(
        "layer -> cell id, for any tuner", "", ".json", architecture=json_clients.to_flat
    ),
    "autospace-iccv2021": Target(
        "the matrices of the paper's space", "", ".json", autospace_iccv2021.export_space
    ),
    "pytorch": Target(
        "one file: a space or a network",
        "torch",
        ".py",
        pytorch_files.export_space,
        pytorch_files.export_architecture,
        rules=True,
    ),
    "huggingface": Target(
        "a network for from_pretrained",
        "huggingface",
        ".py",
        architecture=hubs.to_huggingface,
    ),
    "timm": Target("a model for timm", "timm", ".py", architecture=hubs.to_timm),
    "timm-arch": Target(
        "strings of timm: MBConv only",
        "timm",
        ".json",
        architecture=timm_strings.to_timm_arch,
    ),
    "proxylessnas": Target(
        "net.config: MBConv cells only",
        "",
        ".json",
        architecture=proxylessnas.export_architecture,
    ),
    "nasbench201": Target(
        "its string: one dense cell",
        "",
        ".txt",
        architecture=genotypes.nasbench201_string,
    ),
    "darts-genotype": Target(
        "Genotype(...): two DARTS cells",
        "",
        ".txt",
        architecture=genotypes.darts_genotype,
    ),
    "onnx": Target("inference without PyTorch", "onnxruntime", ".onnx", deployed=True),
    "pt2": Target("inference without autospace", "torch", ".pt2", deployed=True),
    "csv": Target(
        "a row per layer and candidate",
        "pandas",
        ".csv",
        tabular.csv_table,
        tabular.csv_table,
        rules=True,
    ),
    "json-flat": Target(
        "the same rows as JSON",
        "pandas",
        ".json",
        tabular.json_records,
        tabular.json_records,
        rules=True,
    ),
    "dot": Target(
        "the network as a graph",
        "Graphviz",
        ".dot",
        graphs.space_to_dot,
        graphs.architecture_to_dot,
        rules=True,
    ),
    "mermaid": Target(
        "the network, for Markdown",
        "Mermaid",
        ".mmd",
        graphs.space_to_mermaid,
        graphs.architecture_to_mermaid,
        rules=True,
    ),
    "svg": Target(
        "the network as a picture",
        "",
        ".svg",
        svg.export_space,
        svg.export_architecture,
        rules=True,
    ),
}
