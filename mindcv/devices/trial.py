"""Tries a device, in a process of its own, which may crash: `python -m mindcv.devices.trial DEVICE MODE ...`.

Prints a `Line` as JSON for each of TRIALS, in their order.
"""

import argparse
import json
import os

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.devices import reference
from mindcv.devices.report import TRIALS, Line
from mindcv.distributed import is_meeting_point, joined_size
from mindcv.engine import TrainStep, step_for_device
from mindcv.loss import create_loss
from mindcv.models import set_precision
from mindcv.optim import create_optimizer
from mindcv.runtime import join, setup_runtime

_DECAY = 0.125
# Largest difference that is rounding, as a share of the largest gradient: ten and more times what a CPU shows.
_TOLERANCE = {"float32": 1e-4, "TF32": 1e-2, "float16": 1e-2, "bfloat16": 8e-2}


class Network(nn.Cell):
    """The network of mindcv/devices/reference.py: (B, 3, H, W) -> (B, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, pad_mode="pad", padding=1, has_bias=False)
        self.norm = nn.BatchNorm2d(8, eps=reference.EPS, momentum=0.9)
        self.grouped = nn.Conv2d(8, 8, 3, pad_mode="pad", padding=1, group=reference.GROUPS, has_bias=False)
        self.classifier = nn.Dense(8, 5)

    def construct(self, x: Tensor) -> Tensor:
        x = self.grouped(ops.relu(self.norm(self.conv(x))))
        return self.classifier(x.mean((2, 3)))


def build_step(dtype: str) -> TrainStep:
    """The training step that train.py would have on this device, for the network and weights of the reference.

    Args:
        dtype: "float32", or that of mixed precision.
    """
    weights, _, _ = reference.example()
    network = Network()
    for name, parameter in network.parameters_dict().items():
        if name in weights:
            parameter.set_data(Tensor(weights[name]))
    if dtype != "float32":
        set_precision(network, "O2", "O2", dtype)
    optimizer = create_optimizer(network, "momentum", lr=1.0, weight_decay=_DECAY)
    return step_for_device()(network, create_loss(), optimizer).set_train(True)


def step_differs(dtype: str) -> tuple[float, float]:
    """One step of training on the device, forward, backward and update: how far it is from NumPy in float64.

    Returns:
        The difference of the loss, and the largest difference of a gradient, as a share of its largest number.
    """
    weights, images, labels = reference.example()
    loss, gradients = reference.loss_and_gradients(weights, images, labels)
    step = build_step(dtype)
    result = step(Tensor(images), Tensor(labels))
    shares = []
    for name, parameter in step.measured.items():
        if name in gradients:
            before, gradient = weights[name].astype(np.float64), gradients[name]
            moved = before - parameter.asnumpy() - _DECAY * before  # the learning rate is 1
            shares.append(np.abs(moved - gradient).max() / np.abs(gradient).max())
    return abs(float(result.loss.asnumpy()) - loss), float(np.max(shares))


def _try_guard() -> Line:
    """A step with NaN must change nothing, and the next one must train."""
    _, images, labels = reference.example()
    step = build_step("float32")
    kept = step.measured | {p.name: p for p in step.optimizer.get_parameters()}
    before = {name: parameter.asnumpy().copy() for name, parameter in kept.items()}
    result = step(Tensor(np.full_like(images, np.nan)), Tensor(labels))
    noticed = not result.finite.asnumpy()
    step.reopen()
    changed = sum(parameter.asnumpy().tobytes() != before[name].tobytes() for name, parameter in kept.items())
    goes_on = bool(step(Tensor(images), Tensor(labels)).updated.asnumpy())
    if noticed and goes_on and not changed:
        return Line("guard", "ok", f"a step with NaN is noticed and changes none of {len(kept)} arrays")
    text = f"{'noticed' if noticed else 'not noticed'}, {changed} of {len(kept)} arrays changed"
    return Line("guard", "FAIL", f"a step with NaN: {text}, {'the' if goes_on else 'not the'} next one trained")


def _try_step(dtype: str, allowed: float) -> Line:
    loss, share = step_differs(dtype)
    text = f"forward, backward, update: loss {loss:.0e} and gradients {share:.0e} from NumPy's in float64"
    good = loss < allowed and share < allowed  # NaN is not
    return Line(dtype, "ok" if good else "FAIL", text if good else f"{text}; at most {allowed:.0e} is rounding")


def _all_reduce() -> Line:
    if joined_size() is None:
        return Line("all-reduce", "skipped", "one process; msrun starts several")
    world = join()
    rank, size = world.rank, world.size
    total = float(ops.AllReduce()(Tensor([rank + 1.0], ms.float32)).asnumpy()[0])
    text = f"1 to {size} add up to {total:g} in process {rank} of {size}"
    return Line("all-reduce", "ok" if total == size * (size + 1) / 2 else "FAIL", text)


def _try(name: str, device: str, tf32: bool | None) -> Line:
    """A trial on a device that is set up; raises whatever MindSpore does where it has no kernel."""
    if name == "all-reduce":
        return _all_reduce()
    if name == "guard":
        return _try_guard()
    if name == "bfloat16" and device == "CPU":
        return Line(name, "skipped", "MindSpore has no such convolutions on a CPU")
    rounds = name == "float32" and device == "GPU" and tf32 is not False
    return _try_step(name, _TOLERANCE["TF32" if rounds else name])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("mode", type=int)
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--tf32", type=int, choices=(0, 1))
    asked = parser.parse_args()
    answers = os.dup(1)
    os.dup2(2, 1)  # keeps the output of libraries out of the answers

    def answer(line: Line) -> None:
        os.write(answers, f"{json.dumps(line)}\n".encode())

    if is_meeting_point():
        for name in TRIALS:
            answer(Line(name, "skipped", "this process of msrun only brings the others together"))
        join()
        return None
    tf32 = None if asked.tf32 is None else bool(asked.tf32)
    try:
        device = setup_runtime(
            mode=asked.mode, device_target=asked.device, deterministic=asked.deterministic, tf32=tf32
        )
    except ValueError as error:
        return answer(Line("device", "FAIL", str(error).partition(". ")[0]))
    answer(Line("device", "ok", f"{device}, {('Graph', 'Pynative')[asked.mode]} mode"))
    for name in TRIALS[1:]:
        try:
            line = _try(name, device, tf32)
        except Exception as error:  # of any kind: it is the answer
            words = [line for line in str(error).splitlines() if line.strip(" -")]
            line = Line(name, "FAIL", words[0] if words else type(error).__name__)
        answer(line)
    return None


if __name__ == "__main__":
    main()
