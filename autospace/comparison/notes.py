"""What a reader has to know beside the verdict."""

from collections.abc import Iterator, Sequence

from autospace.comparison.result import Power, Sample
from autospace.comparison.setup import Prepared
from autospace.evaluators.evaluator import architecture_key, skeleton_key
from autospace.evaluators.settings import PROXIES


def notes_on(prepared: Prepared, samples: Sequence[Sample], power: Power) -> tuple[str, ...]:
    """The remarks that hold for this comparison."""
    return (
        *prepared.images.data.notes,
        *_on_the_method(prepared),
        *_on_the_spaces(prepared),
        *_on_the_samples(prepared, samples, power),
    )


def _on_the_method(prepared: Prepared) -> Iterator[str]:
    config = prepared.config.evaluator
    if config.method in PROXIES:
        yield f"{config.method} is a proxy: {PROXIES[config.method]}; only training proves"
    if config.method == "supernet":
        yield "one supernet was trained: what another one would say is not in the intervals"
    if config.split == "validation":
        yield (
            "measured on a part of the train split, which a space learned on these images has "
            "seen: it has an advantage"
        )
    one_seed = prepared.config.sampling.repeats == 1 and prepared.matching.comparable
    if config.method == "train" and one_seed:
        yield "errors hold the luck of one seed as well as what the network is worth"


def _on_the_spaces(prepared: Prepared) -> Iterator[str]:
    if len({skeleton_key(space.skeleton) for space in prepared.spaces}) > 1:
        names = sorted({space.skeleton.name for space in prepared.spaces})
        yield (
            f"the spaces stand on different skeletons ({', '.join(names)}): "
            "the verdict is on skeleton and cells together"
        )
    if prepared.config.sampling.match == "none":
        yield "the networks were not matched: the verdict may be about cost"


def _on_the_samples(prepared: Prepared, samples: Sequence[Sample], power: Power) -> Iterator[str]:
    for sample in samples:
        different = len({architecture_key(network) for network in sample.networks})
        if different < len(sample.rows):
            yield (
                f"{sample.label}: {len(sample.rows)} draws gave {different} different "
                f"network{'' if different == 1 else 's'}; repeated ones got other seeds"
            )
    if power.effect is not None and (power.detectable or 0.0) > 1.05 * power.effect:
        yield (
            f"too few networks to be sure of {power.effect:g} points: {power.needed} each would "
            f"do; {power.detectable:.2g} points are found now"
        )
