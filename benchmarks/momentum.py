"""An update of `sknet50` by momentum with weight decay: ours and `nn.Momentum`, in turn, on a CPU.

python benchmarks/momentum.py
"""

import sys
from functools import partial

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))


def main() -> None:
    arguments = parse_arguments(__doc__)
    import mindcv

    mindcv.setup_runtime(mode=0, device_target="CPU")
    import mindspore as ms
    from mindspore import Tensor, nn

    from mindcv.optim.momentum import FusedDecayMomentum

    title = "Updates of a network by momentum 0.9 with weight decay 1e-4."
    columns = ("mode", "ours, ms", "nn.Momentum, ms", "ours / nn.Momentum")
    table = Table(arguments.out, "momentum", title, columns, smoke=arguments.smoke)
    for mode in ("Pynative",) if arguments.smoke else ("Graph", "Pynative"):
        mindcv.setup_runtime(mode=int(mode == "Pynative"), device_target="CPU")
        parameters = mindcv.create_model("skresnet18" if arguments.smoke else "sknet50").trainable_params()
        rng = np.random.default_rng(0)
        gradients = tuple(Tensor(rng.standard_normal(p.shape).astype(np.float32) * 1e-3) for p in parameters)
        rates = [0.1] * (arguments.rounds + 1)
        optimizers = [kind(parameters, rates, 0.9, 1e-4) for kind in (FusedDecayMomentum, nn.Momentum)]
        times = milliseconds_in_turn([partial(optimizer, gradients) for optimizer in optimizers], arguments.rounds)
        table.add(mode, *(spread(t, 1) for t in times), spread_of_ratio(*times), milliseconds=times)
    ms.set_context(mode=ms.GRAPH_MODE)


if __name__ == "__main__":
    main()
