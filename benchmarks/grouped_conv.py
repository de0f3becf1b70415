"""3x3 convolutions with groups and their gradients: ours, and those that MindSpore has, in turn; Graph mode, on a CPU.

python benchmarks/grouped_conv.py
"""

import sys
from functools import partial

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))
CASES = (  # batch, channels, side, groups, dilation
    (8, 128, 56, 32, 1),
    (8, 128, 56, 32, 2),
    (8, 256, 28, 32, 1),
    (8, 512, 14, 32, 1),
    (32, 128, 8, 32, 1),
)
SMOKE = ((2, 16, 28, 4, 1),)


def main() -> None:
    arguments = parse_arguments(__doc__)
    import mindcv

    mindcv.setup_runtime(mode=0, device_target="CPU")
    from mindspore import Tensor, ops

    from mindcv.models.layers import conv2d

    title = "3x3 convolutions with groups, forward and backward."
    columns = ("batch, channels, side, groups, dilation", "ours, ms", "MindSpore's, ms", "ours / MindSpore's", "rule")
    table = Table(arguments.out, "grouped_conv", title, columns, smoke=arguments.smoke)
    for case in SMOKE if arguments.smoke else CASES:
        batch, channels, side, groups, dilation = case
        rng = np.random.default_rng(0)
        x, gradient = (Tensor(rng.standard_normal((batch, channels, side, side)).astype(np.float32)) for _ in range(2))
        ours, theirs = layers = [conv2d(channels, channels, 3, dilation=dilation, groups=groups) for _ in range(2)]
        rule = "ours" if side * side >= ours.min_area_of_own_gradient else "MindSpore's"
        ours.min_area_of_own_gradient, theirs.min_area_of_own_gradient = 0, side * side + 1
        gradients = [
            ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(layer, layer.trainable_params())
            for layer in layers
        ]
        times = milliseconds_in_turn([partial(call, x, gradient) for call in gradients], arguments.rounds)
        cells = (", ".join(map(str, case)), *(spread(t, 1) for t in times), spread_of_ratio(*times), rule)
        table.add(*cells, milliseconds=times)


if __name__ == "__main__":
    main()
