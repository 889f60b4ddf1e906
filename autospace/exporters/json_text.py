"""JSON for other programs to read."""

import json
from typing import Any


def json_text(plain: Any) -> str:
    """Plain values as indented JSON with sorted keys and a newline at the end: equal bytes.

    ASCII, because some clients open files in the encoding of their platform.
    """
    return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"
