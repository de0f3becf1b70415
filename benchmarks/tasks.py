"""The tasks of benchmark.py, each in a process of its own: its mode is set before a network exists.

    python benchmarks/tasks.py --work '{"task": "train", "mode": 0, "argv": ["--model=resnet50"], "steps": 16}'

`argv` is the command line of benchmark.py; assemble_benchmark.py builds what is measured.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from typing import Any

from harness import ROOT, machine, processor, serve

sys.path.insert(0, str(ROOT))
import mindcv  # noqa: F401  (first: it sets what MindSpore reads)
import numpy as np
from mindspore import Tensor, nn

from assemble import OF_RUNTIME, build_to_infer, describe_graphs, graph_folder, without_effect_on
from assemble_benchmark import Subject, build_inference, build_training, subject
from assemble_data import build_measuring_loader, build_training_loader
from config import Config
from mindcv.benchmark.device import card_name, peak_device_memory, versions
from mindcv.compile_cache import compiled_graphs_kept
from mindcv.engine import Callback, Progress, SentSteps, StepReport, Trainer, evaluation_kind, memory_explained
from mindcv.models import build_model
from mindcv.models.count import multiply_adds
from mindcv.runtime import setup_runtime

Step = Callable[[], dict[str, Any]]
_UNTIL_THE_END = ExitStack()


def describe(what: Subject) -> Step:
    """The network, the device and the data in numbers, for `Results.about`."""
    config, evaluation = what.training, what.evaluation
    device = _start(config, mode=1)  # the hooks that count are called in Pynative mode only
    loader = build_training_loader(config, what.weights, resumes=False)
    image, classes = evaluation.eval_image, len(loader.dataset.class_names)
    network = build_model(config.model.model, what.weights, num_classes=classes, in_channels=image.in_channels)
    about = {
        "model": config.model.model,
        "parameters": sum(parameter.size for parameter in network.trainable_params()),
        "multiply_adds": multiply_adds(network, image.image_resize, image.in_channels),
        "num_classes": classes,
        "in_channels": image.in_channels,
        "image_resize": config.image.image_resize,
        "batch_size": config.data.batch_size,
        "val_image_resize": image.image_resize,
        "val_batch_size": evaluation.eval_batch_size,
        "device": device,
        "card": card_name(device, processor()),
        "versions": versions(),
        "machine": machine(),
        "precision": _precision(config.step.amp_level, config.step.amp_dtype),
        "amp_dtype": None if config.step.amp_level == "O0" else config.step.amp_dtype,
        "val_amp_dtype": None if config.step.val_amp_level == "O0" else config.step.amp_dtype,
        "optimizer": config.optim.opt,
        "accumulate_steps": config.step.gradient_accumulation_steps,
        "data": "" if what.why_no_data else config.data.dataset,
        "epoch_images": 0 if what.why_no_data else len(loader) * loader.batch_size,
        "published": what.weights.info.get("weights", "") if what.weights and config.model.pretrained else "",
        "why_no_data": what.why_no_data,
        "why_no_accuracy": what.why_no_accuracy,
        "notices": [*dict.fromkeys((*config.notices, *evaluation.notices, *without_effect_on(device, config)))],
    }
    return lambda: {"about": about}


def _precision(level: str, dtype: str) -> str:
    return "float32" if level == "O0" else f"mixed precision {level} in {dtype}"


def train(what: Subject, steps: int) -> Step:
    """Times the batches of one update of train.py's step, always the loader's first; results are read as there."""
    _start(what.training)
    config, loader, length, step, _ = build_training(what, steps)
    sent = SentSteps(step, repeat(next(loader.epoch(1))))
    _keep_graphs(config, step.network)
    step.set_train(True)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        bad = 0
        for _ in range(length.accumulate_steps):
            while len(sent) <= step.lag:
                sent.send()
            _, finite, _, overflow, _ = sent.read()
            bad += not finite or overflow
        seconds = (time.perf_counter() - start) / length.accumulate_steps
        return {"batch_s": seconds, "not_finite": bad, "batch": loader.batch_size, **_memory()}

    return run


def wait_for_data(what: Subject, steps: int) -> Step:
    """The training loop of train.py on the data; seconds of each step, and those waited for the loader."""
    _start(what.training)
    config, loader, _, step, learning_rates = build_training(what, steps)
    progress, marks = Progress(), _Marks()
    marks.progress = progress
    _keep_graphs(config, step.network)
    trainer = Trainer(step, None, [marks], stop=lambda: len(marks.seconds) >= steps, progress=False)

    def run() -> dict[str, Any]:
        trainer.fit(loader, epochs=steps, learning_rates=learning_rates, progress=progress)
        return {"step_s": marks.seconds, "waited_s": marks.waited, "batch": loader.batch_size}

    return run


class _Marks(Callback):
    """Seconds of each step, and those of it spent waiting for data."""

    progress: Progress

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self._before = (0, 0.0, 0.0)

    def on_step_end(self, report: StepReport) -> None:
        epoch, seconds, waited = self._before if self._before[0] == report.epoch else (report.epoch, 0.0, 0.0)
        self.seconds.append(self.progress.seconds - seconds)
        self.waited.append(self.progress.waited - waited)
        self._before = (epoch, self.progress.seconds, self.progress.waited)


def infer(what: Subject, classes: int) -> Step:
    """Times a batch, and one image, through the network of validate.py, its logits read."""
    config = what.evaluation
    _start(config)
    image, batch, network = config.eval_image, config.eval_batch_size, build_inference(what, classes)
    shape = (batch, image.in_channels, image.image_resize, image.image_resize)
    images = Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    single = Tensor(images.asnumpy()[:1])
    network.set_train(False)
    _keep_graphs(config, network)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        network(images).asnumpy()
        middle = time.perf_counter()
        network(single).asnumpy()
        end = time.perf_counter()
        return {"batch_s": middle - start, "image_s": end - middle, "batch": batch, **_memory()}

    return run


def accuracy(what: Subject) -> Step:
    """What validate.py measures."""
    config, weights = what.evaluation, what.weights
    assert weights, "see `Subject.why_no_accuracy`"
    _start(config)
    loader = build_measuring_loader(config, weights)
    network = build_to_infer(config, weights, loader.dataset.class_names)
    evaluate, _ = evaluation_kind(multi_label=loader.dataset.is_multi_label)
    _keep_graphs(config, network)

    def run() -> dict[str, Any]:
        result = evaluate(network, loader, progress=False)
        assert result is not None, "evaluate was given no stop"
        return {"measures": result.measures, "num_examples": result.num_examples}

    return run


def _start(config: Config, mode: int | None = None) -> str:
    options = {key: getattr(config.runtime, key) for key in OF_RUNTIME}
    return setup_runtime(**(options if mode is None else {**options, "mode": mode}))


def _keep_graphs(config: Config, network: nn.Cell) -> None:
    """Use the compile cache, as the scripts do, until the process ends."""
    described_by = describe_graphs(config, network)
    _UNTIL_THE_END.enter_context(compiled_graphs_kept(graph_folder(config), described_by=described_by))


def _memory() -> dict[str, float | None]:
    return {"device_mb": peak_device_memory()}


TASKS = {"describe": describe, "train": train, "wait_for_data": wait_for_data, "infer": infer, "accuracy": accuracy}


def make_step(task: str, argv: Sequence[str], mode: int, **work: Any) -> Step:
    """The step of one of TASKS; an error for lack of memory says what to do."""
    what = subject(argv, mode)
    batch_size = what.training.data.batch_size
    with memory_explained(batch_size):
        step = TASKS[task](what, **work)

    def explained() -> dict[str, Any]:
        with memory_explained(batch_size):
            return step()

    return explained


if __name__ == "__main__":
    serve(partial(make_step, **json.loads(sys.argv[sys.argv.index("--work") + 1])))
