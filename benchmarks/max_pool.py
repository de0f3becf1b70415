"""Max pooling for training: ours and `nn.MaxPool2d`, forward and backward, in turn; Graph mode, on a CPU.

python benchmarks/max_pool.py
"""

import sys
from functools import partial

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))
CASES = ((8, 64, 112), (32, 64, 16))  # batch, channels, side: what sknet50 has at 224x224 and at 32x32


def main() -> None:
    arguments = parse_arguments(__doc__)
    import mindcv

    mindcv.setup_runtime(mode=0, device_target="CPU")
    from mindspore import Tensor, nn, ops

    from mindcv.models.layers.pooling import ArgmaxPool

    title = "Max pooling of 3x3 windows with stride 2."
    columns = ("pass", "padding", "batch, channels, side", "ours, ms", "nn.MaxPool2d, ms", "ours / nn.MaxPool2d")
    table = Table(arguments.out, "max_pool", title, columns, smoke=arguments.smoke)
    for pad_mode, padding in (("pad", 1), ("same", 0)):
        for batch, channels, side in CASES[-1:] if arguments.smoke else CASES:
            rng = np.random.default_rng(0)
            shapes = (batch, channels, side, side), (batch, channels, side // 2, side // 2)
            x, gradient = (Tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes)
            pools = [kind(3, 2, pad_mode=pad_mode, padding=padding) for kind in (ArgmaxPool, nn.MaxPool2d)]
            passes = {
                "forward": [partial(pool, x) for pool in pools],
                "with gradient": [partial(ops.GradOperation(sens_param=True)(pool), x, gradient) for pool in pools],
            }
            for name, calls in passes.items():
                times = milliseconds_in_turn(calls, arguments.rounds)
                cells = (name, pad_mode, f"{batch}, {channels}, {side}", *(spread(t, 1) for t in times))
                table.add(*cells, spread_of_ratio(*times), milliseconds=times)


if __name__ == "__main__":
    main()
