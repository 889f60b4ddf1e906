"""The exponential moving average of a network's weights."""

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from autospace.networks.network import Network


def decay_at(update: int, decay: float) -> float:
    """Decay of an update, counted from 1: small at first, so that the start is soon forgotten."""
    return min(decay, (1 + update) / (10 + update))


class Average:
    """Follows a network: average <- d * average + (1 - d) * network after every step.

    The running statistics of batch normalisation are averaged likewise, so the average can be
    evaluated at any time without a pass over the images.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._decay = decay
        self.model = AveragedModel(network, use_buffers=True)

    @property
    def network(self) -> Network:
        """The network whose weights are the average."""
        module = self.model.module
        if not isinstance(module, Network):
            raise TypeError(f"the average of a {type(module).__name__}, not of a network")
        return module

    def update(self, network: Network) -> None:
        """Takes in the network as it is now."""
        done = int(self.model.n_averaged)
        self.model.multi_avg_fn = get_ema_multi_avg_fn(decay_at(done, self._decay))
        self.model.update_parameters(network)
