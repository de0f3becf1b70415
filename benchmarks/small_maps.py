"""Convolutions of small maps as matrix products beside MindSpore's convolution, forward and backward, Graph mode.

python benchmarks/small_maps.py
"""

import sys
from functools import partial

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))
CASES = (  # batch, channels, side, groups
    (32, 256, 4, 32),
    (32, 512, 2, 32),
    (32, 1024, 1, 32),
    (128, 128, 4, 1),
    (128, 256, 2, 1),
    (128, 512, 1, 1),
)


def main() -> None:
    arguments = parse_arguments(__doc__)
    import mindcv

    mindcv.setup_runtime(mode=0, device_target="CPU")
    from mindspore import Tensor, ops

    from mindcv.models.layers import conv2d

    title = "3x3 convolutions of small maps, forward and backward, as a matrix product and as MindSpore's convolution."
    columns = ("batch, channels, side, groups", "product, ms", "convolution, ms", "product / convolution")
    table = Table(arguments.out, "small_maps", title, columns, smoke=arguments.smoke)
    for case in CASES[:1] if arguments.smoke else CASES:
        batch, channels, side, groups = case
        x = Tensor(np.random.default_rng(0).standard_normal((batch, channels, side, side)).astype(np.float32))
        gradients = []
        for pairs in (side**4, 0):
            conv = conv2d(channels, channels, 3, groups=groups)
            conv.max_matmul_pairs = pairs
            gradients.append(
                ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(conv, conv.trainable_params())
            )
        times = milliseconds_in_turn([partial(gradient, x, x) for gradient in gradients], arguments.rounds)
        table.add(
            ", ".join(map(str, case)), *(spread(t, 1) for t in times), spread_of_ratio(*times), milliseconds=times
        )


if __name__ == "__main__":
    main()
