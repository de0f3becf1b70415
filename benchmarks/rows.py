"""Feature maps times one number for each row: repeated along the row before, and broadcast; Graph mode, on a CPU.

python benchmarks/rows.py
"""

import sys
from functools import partial

import numpy as np
from harness import ROOT, Table, milliseconds_in_turn, parse_arguments, spread, spread_of_ratio

sys.path.insert(0, str(ROOT))
CASES = ((8, 128, 56), (8, 512, 14), (8, 1024, 7), (32, 128, 8), (32, 1024, 1))  # batch, channels, side


def main() -> None:
    arguments = parse_arguments(__doc__)
    import mindcv

    mindcv.setup_runtime(mode=0, device_target="CPU")
    from mindspore import Tensor, ops

    from mindcv.models.layers.rows import BlendRows, ScaleRows, TiledBlendRows, TiledScaleRows

    rng = np.random.default_rng(0)
    title = "Maps scaled, and two maps blended, by one number for each image and channel, as (B * C, H * W) rows."
    columns = ("operation", "batch, channels, side", "repeated, ms", "broadcast, ms", "repeated / broadcast")
    table = Table(arguments.out, "rows", title, columns, smoke=arguments.smoke)
    for name, forms, maps in (
        ("scale", (TiledScaleRows, ScaleRows), 1),
        ("blend", (TiledBlendRows, BlendRows), 2),
    ):
        for case in CASES[-1:] if arguments.smoke else CASES:
            batch, channels, side = case
            *inputs, gradient = (
                Tensor(rng.standard_normal((batch * channels, side * side)).astype(np.float32)) for _ in range(maps + 1)
            )
            inputs.append(Tensor(rng.random((batch * channels, 1)).astype(np.float32)))
            calls = {
                "forward": [partial(form(), *inputs) for form in forms],
                "with gradient": [
                    partial(ops.GradOperation(get_all=True, sens_param=True)(form()), *inputs, gradient)
                    for form in forms
                ],
            }
            for part, pair in calls.items():
                times = milliseconds_in_turn(pair, arguments.rounds)
                table.add(
                    f"{name}, {part}",
                    ", ".join(map(str, case)),
                    *(spread(t, 2) for t in times),
                    spread_of_ratio(*times),
                    milliseconds=times,
                )


if __name__ == "__main__":
    main()
