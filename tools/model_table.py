"""Prints the model table: parameters and multiply-adds of every registered network, counted by running it.

    python tools/model_table.py ['sk*']

A multiply-add is one product of a convolution or dense layer; at 224x224 and 1000 classes, the CIFAR networks at 32x32
and 10 classes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import mindcv  # first: it sets what MindSpore reads
from mindspore import nn
from mindcv.models.count import multiply_adds


def published_classes(network: nn.Cell) -> int:
    """The number of classes that the table assumes: 10 for a CIFAR network, else ImageNet's 1000."""
    return 10 if network.default_cfg.image_resize == 32 else 1000


def counted(name: str) -> tuple[int, str, str]:
    """Side of the image, parameters and multiply-adds of a registered network, as the tables write them."""
    network = mindcv.create_model(name)
    if published_classes(network) != network.num_classes:
        network = mindcv.create_model(name, num_classes=published_classes(network))
    side = network.default_cfg.image_resize
    parameters = sum(parameter.size for parameter in network.trainable_params())
    return side, f"{parameters:,}", f"{multiply_adds(network, side) / 1e9:.3f} G"


def main() -> None:
    mindcv.setup_runtime(mode=1, device_target="CPU")
    print("| model | input | parameters | multiply-adds |")
    print("|---|---|---|---|")
    for name in mindcv.list_models(sys.argv[1] if len(sys.argv) > 1 else "*"):
        side, parameters, operations = counted(name)
        print(f"| `{name}` | {side} | {parameters} | {operations} |", flush=True)


if __name__ == "__main__":
    main()
