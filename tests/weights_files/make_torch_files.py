"""Write the files that tests/weights/test_torch_file.py and test_safetensors_file.py read.

    python tests/weights_files/make_torch_files.py

Needs torch and safetensors. The tests do not: they compare with the same formulas in NumPy.
"""

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent


def ramp(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """0, 1/8, 2/8, ...: exact in every floating-point format."""
    return (torch.arange(count) / 8).to(dtype)


def save(name: str, value: object) -> None:
    torch.save(value, FOLDER / f"{name}_zip.pth")
    torch.save(value, FOLDER / f"{name}_stream.pth", _use_new_zipfile_serialization=False)


def simple_tensors() -> dict[str, torch.Tensor]:
    return {
        "contiguous": ramp(24).reshape(2, 3, 4),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "float64": ramp(6, torch.float64),
        "float16": ramp(6, torch.float16),
        "bfloat16": ramp(6, torch.bfloat16) - 0.25,
        "int64": torch.tensor(2**40 + 7),
        "int32": torch.arange(-3, 3, dtype=torch.int32),
        "int16": torch.arange(-3, 3, dtype=torch.int16),
        "int8": torch.arange(-3, 3, dtype=torch.int8),
        "uint8": torch.arange(250, 256, dtype=torch.uint8),
        "bool": torch.arange(6) % 3 == 0,
    }


def main() -> None:
    base = ramp(10)
    parameter = nn.Parameter(ramp(4))
    views = {
        "transposed": ramp(12).reshape(3, 4).t(),
        "column": ramp(12).reshape(3, 4)[:, 1],
        "one_row": ramp(12).reshape(3, 4)[1:2],
        "expanded": torch.tensor([0.5, -1.0]).reshape(2, 1).expand(2, 3),
        "channels_last": ramp(24).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "shared_a": base[2:6],
        "shared_b": base[4:],
        "parameter": parameter,
        "parameter_again": parameter,
    }
    save("tensors", {**simple_tensors(), **views})

    network = nn.Sequential(OrderedDict(fc=nn.Linear(3, 2), bn=nn.BatchNorm1d(2)))
    for tensor in network.state_dict().values():
        tensor.copy_(ramp(max(tensor.numel(), 1)).reshape(tensor.shape) + 3)
    save("network", network.state_dict())

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    args = Namespace(
        model="network", lr=0.1, scale=(0.08, 1.0), aug=None, amp=True, device=torch.device("cpu"), dtype=torch.bfloat16
    )
    weights = {"module.fc.weight": ramp(6).reshape(2, 3), "module.fc.bias": ramp(2)}
    training = {
        "epoch": 3,
        "arch": "network",
        "state_dict": weights,
        "optimizer": optimizer.state_dict(),
        "version": 2,
        "args": args,
        "metric": 71.5,
    }
    save("training", training)
    save("training_ema", {**training, "state_dict_ema": {name: -tensor for name, tensor in weights.items()}})
    compiled = OrderedDict(("_orig_mod." + name, tensor) for name, tensor in weights.items())
    save("compiled", {"model": compiled, "epoch": 3})

    torch.save(nn.Linear(3, 2), FOLDER / "whole_network_zip.pth")  # in a stream there would be PyTorch's source text
    save("complex", {"weight": torch.ones(2, dtype=torch.complex64)})
    torch.save({"weight": torch.ones(2)}, FOLDER / "protocol_4_zip.pth", pickle_protocol=4)

    safetensors = FOLDER / "tensors.safetensors"
    save_file(simple_tensors(), safetensors, metadata={"format": "pt"})
    safetensors.chmod(0o644)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
