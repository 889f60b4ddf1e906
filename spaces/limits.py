"""The largest values that a file or a value may hold: far beyond use, small enough to handle."""

from typing import Final

MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1000
MAX_ID: Final = 64

MAX_LAYERS: Final = 128
MAX_CHANNELS: Final = 8192
MAX_RESOLUTION: Final = 4096
MAX_CLASSES: Final = 100_000

MAX_CANDIDATES: Final = 4096
MAX_PARENTS: Final = 8
MAX_GENERATION: Final = 10**9
MAX_COUNT: Final = 2**63 - 1

MAX_BYTES: Final = 32 * 1024 * 1024
# Python's TOML reader takes a hundred times longer than its JSON reader.
MAX_TOML_BYTES: Final = 256 * 1024
MAX_VALUES: Final = 1_000_000
MAX_CONTAINERS: Final = 250_000
MAX_ENTRIES: Final = 4096
MAX_INTEGER: Final = 2**64
MAX_DEPTH: Final = 32
MAX_PROVENANCE_DEPTH: Final = 16
