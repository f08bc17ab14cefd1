"""Networks that are evaluated with the running mean of their weights (Polyak and Juditsky, 1992).

It does what a falling learning rate would do, without a schedule.
"""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.models.contract import Encoder

DECAY = 0.995  # per step: the last 200 steps count


class AveragedEncoder(Encoder):
    """An encoder with one network and its running mean. A `loss` calls `advance`, and everything reads `layers`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mean = AveragedModel(network, avg_fn=_running_mean).requires_grad_(False)

    @property
    def layers(self) -> nn.Module:
        """The network as it is trained, in evaluation mode its mean."""
        return self.network if self.training else self.mean.module

    def advance(self) -> None:
        """In training mode the weights of this step join the mean."""
        if self.training:
            self.mean.update_parameters(self.network)


def _running_mean(mean: Tensor, now: Tensor, steps: Tensor) -> Tensor:
    """Over the last tenth of the steps, at first."""
    return mean.lerp(now, 1 - min(DECAY, (1 + steps.item()) / (10 + steps.item())))
