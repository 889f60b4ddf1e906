"""A space of choices: source code that exported PyTorch files copy."""

import random

from torch import nn

from autospace.exporters.templates.ofa import Layer, group

CLASSES = 10
CHOICES: dict[str, dict[str, Layer]] = {}
STAGES: list[tuple[list[str], int]] = []
DEFAULT: dict[str, str] = {}


class Network(nn.Module):
    """Stands for the network of a family, which exported files have instead."""

    def __init__(self, *parts: object) -> None:
        super().__init__()


def chosen(architecture: dict[str, str]) -> list[Layer]:  # signature
    """What an architecture names, choice by choice."""
    if unknown := architecture.keys() - CHOICES.keys():
        raise ValueError(f"unknown layers: {sorted(unknown)}")
    found = []
    for layer, offers in CHOICES.items():
        name = architecture.get(layer)
        if name not in offers:
            raise ValueError(f"{layer}: {name!r} is not one of {[*offers]}")
        found.append(offers[name])
    check(architecture)  # stages
    return found


def check(architecture: dict[str, str]) -> None:
    """Raises if cells of a stage do not go together."""
    for layers, least in STAGES:
        own = [[architecture[layer]] for layer in layers]
        if not any(within(own, rows) for rows in alternatives(layers, least)):
            text = "together, or a layer is skipped in front of one that is not"
            raise ValueError(f"{layers[0]} to {layers[-1]}: cells do not go {text}")


def alternatives(layers: list[str], least: int) -> list[list[list[str]]]:
    """What the layers of a stage may be together, as ids per layer.

    They are cells of one group and, behind the first `least` ones, skipped layers last.
    """
    offers = [CHOICES[layer] for layer in layers]
    groups = {group(each) for row in offers for each in row.values()} - {None}
    found = []
    for depth in range(least, len(layers) + 1):
        for common in sorted(each for each in groups if each is not None):
            wanted = [common] * depth + [None] * (len(layers) - depth)
            rows = [
                [name for name, each in row.items() if group(each) == own]
                for row, own in zip(offers, wanted, strict=True)
            ]
            if all(rows):
                found.append(rows)
    return found


def within(own: list[list[str]], rows: list[list[str]]) -> bool:
    """Whether the rows of an alternative hold these ids."""
    return all(set(one) <= set(row) for one, row in zip(own, rows, strict=True))


def options(rows: list[list[str]]) -> int:
    """How many ways there are to choose one of every row."""
    found = 1
    for row in rows:
        found *= len(row)
    return found


def sample(rng: random.Random) -> dict[str, str]:
    """An architecture, drawn uniformly."""
    return {layer: rng.choice([*offers]) for layer, offers in CHOICES.items()}


def staged_sample(rng: random.Random) -> dict[str, str]:
    """An architecture, drawn uniformly."""
    found: dict[str, str] = {}
    for layers, least in STAGES:
        possible = alternatives(layers, least)
        sizes = [options(rows) for rows in possible]
        place = rng.randrange(sum(sizes)) if len(possible) > 1 else 0
        index = 0
        while place >= sizes[index]:
            place -= sizes[index]
            index += 1
        for layer, row in zip(layers, possible[index], strict=True):
            found[layer] = rng.choice(row)
    return found


def build(architecture: dict[str, str], classes: int = CLASSES) -> Network:  # inputs
    """One architecture as a network of its own, with fresh weights."""
    return Network(chosen(architecture), classes)  # made
