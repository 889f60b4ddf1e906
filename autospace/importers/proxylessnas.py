"""`net.config` of ProxylessNAS (Cai et al., ICLR 2019): one architecture as JSON."""

from autospace.importers.network_file import network
from autospace.importers.target import Target
from autospace.spaces import Architecture
from autospace.spaces.files.reading import parse_json


def read(text: str, target: Target) -> Architecture:
    """The architecture that a `net.config` describes.

    Raises:
        SpaceError: not such a file, or one with a part that our networks cannot express.
    """
    return network(parse_json(text), target, {})
