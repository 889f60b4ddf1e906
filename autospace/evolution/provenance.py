"""How a learned space came about: settings, images, versions and kernels, as the space keeps it."""

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from autospace.compute.device import Hardware
from autospace.evolution.population import EvolutionState
from autospace.evolution.preparation import PreparedRun
from autospace.networks.fused import described, described_on
from autospace.scorers.predicted import IGNORANT, fitted
from autospace.scorers.whole import Row

UNUSED: Final = (
    ("data", "aspect", "squash"),
    ("data", "ground", "white"),
    ("cells", "family", "auto"),
    ("evolution", "rescore", 0),
    ("evolution", "stop_after", 0),
    ("evolution", "tied", 1),
    ("evolution", "screen", 1),
    ("evolution", "shrink", False),
    ("scoring", "weights", "fresh"),
    ("scoring", "temperature", 1.0),
    ("budget", "max_ops", "none"),
)
"""Settings that are not part of how a space came about if they have these values."""


def provenance(
    prepared: PreparedRun,
    state: EvolutionState,
    warnings: Sequence[str],
    hardware: Hardware | None = None,
    networks: Mapping[Row, float] | None = None,
) -> dict[str, Any]:
    """What the space keeps of its run.

    Args:
        prepared: the run.
        state: its last one.
        warnings: what the reference network showed.
        hardware: that cells were trained on, if it was that of a cluster.
        networks: whole networks that fitness was predicted from, and their errors.
    """
    own = prepared.execution.settings
    cells = own if hardware is None else prepared.settings_on(hardware)
    notes = [*prepared.parts.notes, *prepared.parts.warnings, *warnings]
    if cells.device != own.device:
        notes.append(f"cells were trained on {cells.device}, the reference on {own.device}")
    known = _known(prepared, networks or {})
    if known and known["explained"] <= 0:
        notes.append(IGNORANT)
    stop, quality = prepared.plan.stop(state), state.archive and state.archive.predictor.quality
    config = prepared.config.model_dump(mode="json")
    for section, name, value in UNUSED:
        if config[section].get(name) == value:
            del config[section][name]
    if prepared.config.scoring.method != "calibrated":
        del config["scoring"]["shrinkage"]
    if prepared.config.scoring.method != "predicted":
        del config["scoring"]["networks"], config["scoring"]["network_steps"]
    # Where the images lie and which device does the work belong to a machine, not to the result.
    config["data"]["source"] = prepared.parts.name
    config["device"], config["precision"] = cells.device, cells.precision
    config["skeleton"] = prepared.skeleton.name
    # Compiled or not, sums are rounded differently: scores agree to the last digits only.
    kernels = described().partition(",")[0].partition(":")[0]
    if cells.device != "cpu":
        kernels = hardware.kernels if hardware else described_on(prepared.execution.device)
    latency = prepared.latency
    if prepared.config.budget.latency_table is not None:
        config["budget"]["latency_table"] = Path(prepared.config.budget.latency_table).name
    names = ("autospace", "torch", "deap", "numpy")
    versions = {name: metadata.version(name) for name in names}
    return {
        "method": f"AutoSpace (Zhou et al., ICCV 2021), {prepared.config.scoring.method} scoring",
        "config": config,
        "data": prepared.parts.origin,
        "kernels": kernels,
        "versions": {**versions, "python": ".".join(map(str, sys.version_info[:2]))},
        **({"latency": latency.described} if latency else {}),
        **({"evolution": stop} if stop else {}),
        **({"predictor": quality._asdict()} if quality else {}),
        **({"networks": known} if known else {}),
        **({"notes": notes} if notes else {}),
    }


def _known(prepared: PreparedRun, networks: Mapping[Row, float]) -> dict[str, Any]:
    """How many whole networks were trained, and how well their errors are predicted."""
    if not networks:
        return {}
    return {
        "trained": len(networks),
        "explained": fitted(prepared.skeleton, networks).explained,
    }
