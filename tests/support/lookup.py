"""A network that answers with given logits."""

import mindspore as ms
from mindspore import Tensor, nn


def logits_network(logits) -> nn.Cell:
    """A network whose answer to image k is row k of `logits`: the image holds its own number."""

    class Lookup(nn.Cell):
        def __init__(self):
            super().__init__()
            self.table = Tensor(logits, ms.float32)

        def construct(self, x):
            return self.table[x[:, 0, 0, 0].astype(ms.int32)]

    return Lookup()
