"""PyTorch and timm, the peers: training steps and inference, eager unless said otherwise.

Run by an interpreter that has both: `import torch_steps` in the workers of the other benchmarks, and as a worker of
benchmark.py, which passes what to measure as JSON:

    python benchmarks/torch_steps.py --work '{"task": "train", "model": "resnet50", "side": 224, "batch": 64}'
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import timm
import torch
from harness import serve
from timm.models.resnet import ResNet
from timm.models.sknet import SelectiveKernelBottleneck

SAME_AS = {"sknet50": "skresnext50_32x4d"}  # our networks that timm has under another name
DEVICES = {"CPU": "cpu", "GPU": "cuda"}  # by MindSpore's names


def training_step(
    model: str,
    side: int,
    batch: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    device: str = "cpu",
    amp_dtype: str | None = None,
) -> Callable[[], float]:
    """A step of cross-entropy and SGD with momentum and weight decay on one fixed batch; returns the loss.

    Args:
        amp_dtype: dtype of autocast, with a loss scale for "float16"; None: float32.
    """
    network = build(model, num_classes, in_channels).to(device).train()
    images = random_images(side, batch, in_channels).to(device)
    labels = (torch.arange(batch) % num_classes).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(device, enabled=amp_dtype == "float16")

    def run() -> float:
        optimizer.zero_grad()
        with autocast(device, amp_dtype):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return float(loss.detach())

    return run


def inference(
    model: str,
    side: int,
    batch: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    device: str = "cpu",
    amp_dtype: str | None = None,
    compiled: bool = False,
) -> Callable[..., float]:
    """A batch through the network; returns the first logit. `run(count)` takes only the first images of the batch."""
    network = build(model, num_classes, in_channels).to(device).eval()
    network = torch.compile(network) if compiled else network
    images = random_images(side, batch, in_channels).to(device)

    @torch.inference_mode()
    def run(count: int = batch) -> float:
        with autocast(device, amp_dtype):
            return float(network(images[:count]).float().cpu()[0, 0])

    return run


def autocast(device: str, dtype: str | None) -> Any:
    return nullcontext() if dtype is None else torch.autocast(device, getattr(torch, dtype))


def random_images(side: int, batch: int, in_channels: int) -> torch.Tensor:
    """(B, C, H, W) float32."""
    return torch.randn(batch, in_channels, side, side, generator=torch.Generator().manual_seed(0))


def build(model: str, num_classes: int, in_channels: int) -> torch.nn.Module:
    """timm's network, or for `sknet29` that of its blocks."""
    if model == "sknet29":
        return sknet29(num_classes, in_channels)
    return timm.create_model(model, num_classes=num_classes, in_chans=in_channels)


def sknet29(num_classes: int, in_channels: int) -> torch.nn.Module:
    """Our `sknet29`, built from timm's blocks: timm does not have this network."""
    block_args = {"sk_kwargs": {"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False}}
    network = ResNet(
        SelectiveKernelBottleneck,
        (3, 3, 3),
        num_classes=num_classes,
        cardinality=32,
        base_width=16,
        channels=(64, 128, 256),
        block_args=block_args,
    )
    network.conv1 = torch.nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    network.maxpool = network.layer4 = torch.nn.Identity()
    if (num_classes, in_channels) == (10, 3):
        expected = 28_256_394  # of ours
        found = sum(parameter.numel() for parameter in network.parameters())
        assert found == expected, f"sknet29 of timm's blocks has {found:,} parameters, not {expected:,}"
    return network


def describe(model: str, device: str, **_: Any) -> Callable[[], dict[str, Any]]:
    """timm's name of one of our networks, and the versions.

    Raises:
        ValueError: if timm does not have it, or PyTorch not the device.
    """
    name = SAME_AS.get(model, model)
    if name != "sknet29" and not timm.is_model(name):
        raise ValueError(f"timm {timm.__version__} has no network like {model}")
    if device not in DEVICES:
        raise ValueError(f"PyTorch is measured on {' and '.join(DEVICES)}; this device is {device}")
    if device == "GPU" and not torch.cuda.is_available():
        raise ValueError(f"PyTorch {torch.__version__} finds no GPU")
    versions = {"torch": torch.__version__, "timm": timm.__version__}
    return lambda: {"model": name, "device": DEVICES[device], "versions": versions}


def train(**what: Any) -> Callable[[], dict[str, Any]]:
    """Times a training step; see `training_step`."""
    return timed(training_step(**what), what["batch"], what["device"])


def infer(**what: Any) -> Callable[[], dict[str, Any]]:
    """Times a batch, and one image; see `inference`."""
    run = inference(**what)
    return timed(run, what["batch"], what["device"], partial(run, 1))


def timed(
    run: Callable[[], Any], batch: int, device: str, single: Callable[[], Any] | None = None
) -> Callable[[], dict[str, Any]]:
    """Runs a batch, and one image if that is measured, and answers with their seconds."""

    def step() -> dict[str, Any]:
        start = time.perf_counter()
        run()
        answer = {"batch_s": time.perf_counter() - start, "batch": batch, "device_mb": None}
        if single:
            start = time.perf_counter()
            single()
            answer["image_s"] = time.perf_counter() - start
        if device == "cuda":
            answer["device_mb"] = torch.cuda.max_memory_allocated() / 2**20
        return answer

    return step


if __name__ == "__main__":
    work = json.loads(sys.argv[sys.argv.index("--work") + 1])
    serve(partial({"describe": describe, "train": train, "infer": infer}[work.pop("task")], **work))
