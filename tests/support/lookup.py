"""A network that returns given logits."""

import mindspore as ms
from mindspore import Tensor, nn


def logits_network(logits) -> nn.Cell:
    """A network that returns row k of `logits` for image k, whose pixels are k."""

    class Lookup(nn.Cell):
        def __init__(self):
            super().__init__()
            self.table = Tensor(logits, ms.float32)

        def construct(self, x):
            return self.table[x[:, 0, 0, 0].astype(ms.int32)]

    return Lookup()
