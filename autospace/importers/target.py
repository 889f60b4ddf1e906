"""What an imported file is put into."""

from dataclasses import dataclass, replace

from autospace.spaces import Skeleton, Space, SpaceError, load_skeleton


@dataclass(frozen=True, slots=True)
class Target:
    """What the user says about a file, as far as the file does not say it itself.

    Attributes:
        skeleton: the network around the cells; None for the usual one of the format.
        resolution: side of the images in pixels; None for that of the skeleton.
        space: what the ids in a client's result refer to.
    """

    skeleton: Skeleton | None = None
    resolution: int | None = None
    space: Space | None = None

    def skeleton_or(self, usual: str) -> Skeleton:
        """The skeleton that was given, or a built-in one, at the resolution that was given."""
        skeleton = self.skeleton or load_skeleton(usual)
        return (
            skeleton if self.resolution is None else replace(skeleton, resolution=self.resolution)
        )

    @property
    def given_space(self) -> Space:
        """The space.

        Raises:
            SpaceError: none was given.
        """
        if self.space is None:
            raise SpaceError("", "cell ids without their space; name it with --space")
        return self.space
