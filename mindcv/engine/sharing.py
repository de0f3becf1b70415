"""What the processes of a data parallel training exchange in every step."""

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.communication import GlobalComm

from mindcv.distributed import World

ASKS = "asks_to_stop"  # the name of a flag of `Sharing`


class Sharing(nn.Cell):
    """Means over all processes: (loss, gradients) of one -> (loss, gradients) of all, and whether any asks to stop.

    The batch norms' running statistics become means, too. All results have the same bits in every process, so whatever
    a step decides from them, and all its state, is the same in every process. NaN or infinity in one reaches all.

    Args:
        world: the processes, more than one.
        weights: those of the gradients.
        statistics: running means and variances, updated by the forward pass, which normalises with the batch of its
            own process.
    """

    def __init__(self, world: World, weights: ParameterTuple, statistics: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.asks = Parameter(Tensor(0.0, ms.float32), name=ASKS, requires_grad=False)
        self.statistics = statistics
        self.share = 1.0 / world.size
        # MindSpore's own groups the gradients for the communication of a GPU and Ascend.
        self.mean = nn.DistributedGradReducer(weights, True, world.size, group=GlobalComm.WORLD_COMM_GROUP)
        self.add = ops.AllReduce(group=GlobalComm.WORLD_COMM_GROUP)

    def ask_to_stop(self) -> None:
        """Tell the others in the next step."""
        ops.assign(self.asks, Tensor(1.0, ms.float32))

    def construct(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        gradients = self.mean(gradients)
        own = (loss.astype(ms.float32).reshape((1,)), self.asks.reshape((1,)), *self.statistics)
        means = self.add(ops.concat(own)) * self.share
        start = 2
        for statistic in self.statistics:
            ops.assign(statistic, means[start : start + statistic.shape[0]])
            start += statistic.shape[0]
        return means[0], gradients, means[1] > 0
