"""Few-shot searches: several supernets, each for architectures that agree, then evolution over all.

GM-NAS (Hu et al., ICLR 2022) groups candidates by the gradients that they give the shared weights,
NAS-LID (He et al., AAAI 2023) by the local intrinsic dimensions of their features, for which it
needs no backward pass.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from autospace.searchers.sampling.spos import Spos, SposOptions
from autospace.searchers.settings import Section
from autospace.searchers.similarity import Similarity, dimension_matching, gradient_matching
from autospace.searchers.split_fitness import SplitFitness
from autospace.supernets.problem import Problem


class GmOptions(SposOptions):
    """When and how often supernets are split; evolution as with `spos`."""

    splits: Annotated[int, Field(ge=1, le=6, description="each doubles the supernets")] = 2
    warm_up: Annotated[float, Field(gt=0, lt=1, description="share of steps; unsplit")] = 0.4
    repeats: Annotated[int, Field(ge=1, le=1000, description="paths and batches")] = 8


class NasLidOptions(GmOptions):
    """Dimensions vary less from batch to batch than gradients do."""

    repeats: Annotated[int, Field(ge=1, le=1000, description="paths and batches")] = 4
    neighbours: Annotated[int, Field(ge=2, le=127, description="of 128 images")] = 20


class Gm(Spos):
    """The supernet is split by gradient matching."""

    options_type: ClassVar[type[Section]] = GmOptions

    def __init__(
        self, problem: Problem, options: GmOptions, similarity: Similarity = gradient_matching
    ) -> None:
        self.split = SplitFitness(
            problem, options.splits, options.warm_up, options.repeats, similarity
        )
        super().__init__(problem, options, self.split)

    def details(self) -> dict[str, Any]:
        """Which candidates each supernet came to hold."""
        return {"supernets": self.split.described()}


class NasLid(Gm):
    """The supernet is split by local intrinsic dimensions."""

    options_type = NasLidOptions

    def __init__(self, problem: Problem, options: NasLidOptions) -> None:
        super().__init__(problem, options, dimension_matching(options.neighbours))
