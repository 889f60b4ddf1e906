"""Files as earlier versions of the program wrote them."""

import json
from typing import Any

from autospace.spaces import Architecture, Skeleton, Space, to_json


def version_1(value: Space | Architecture | Skeleton) -> Any:
    """The document of a value in version 1, which did not name the family of the cells."""
    plain = json.loads(to_json(value))
    plain.pop("kind", None)
    return plain | {"version": 1}
