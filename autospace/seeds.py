"""One root seed, a named stream per purpose.

A stream is a pure function of the seed and its name, so nothing random has to be stored: a
resumed run asks for the same streams and gets the same draws.
"""

import hashlib
import random


def derived_seed(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the purpose that `name` spells, independent of all other names."""
    text = "/".join(map(str, (seed, *name)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *name: str | int) -> random.Random:
    """A fresh generator for the purpose that `name` spells."""
    return random.Random(derived_seed(seed, *name))
