"""Random search with weight sharing (Li and Talwalkar, UAI 2019): the baseline of all searches."""

from autospace.searchers.one_shot import OneShot
from autospace.streams import stream


class RandomWeightSharing(OneShot):
    """A supernet, then as many random architectures as there are evaluations; the best is kept."""

    @property
    def search_steps(self) -> int:
        """One architecture a step."""
        return self.most_evaluations

    def search(self, index: int) -> None:
        """Judges a random architecture."""
        self.judged(self.problem.choices.draw(stream(self.problem.seed, "random-ws", index)))
