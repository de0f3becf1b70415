"""The measurements of one benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mindcv.benchmark.statistics import Spread, spread

IMAGENET_IMAGES = 1_281_167  # of the training split of ImageNet-1k
MODES = ("Graph", "Pynative")  # by the number of the mode


@dataclass(frozen=True)
class Timing:
    """What was measured of one network in one process.

    Attributes:
        batch: images per batch.
        seconds: of each batch: of each training step, or of each batch of inference.
        image_seconds: of each single image; empty for training.
        peak_mb: peak resident memory of the process, MB.
        device_mb: peak memory on the device, MB; None on a CPU.
        first_seconds: of building the network and the first measurement, which compiles.
        not_finite: training steps with NaN or infinity, which leave out the update.
    """

    batch: int
    seconds: tuple[float, ...]
    image_seconds: tuple[float, ...] = ()
    peak_mb: float = 0.0
    device_mb: float | None = None
    first_seconds: float = 0.0
    not_finite: int = 0

    @classmethod
    def from_answers(cls, first: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> "Timing":
        """Of a worker's first answer, which compiled, and of those that count; see benchmarks/tasks.py."""
        last = answers[-1]
        return cls(
            batch=last["batch"],
            seconds=tuple(answer["batch_s"] for answer in answers),
            image_seconds=tuple(answer["image_s"] for answer in answers if "image_s" in answer),
            peak_mb=last["peak_mb"],
            device_mb=last["device_mb"],
            first_seconds=first["made"] + first["seconds"],
            not_finite=sum(answer.get("not_finite", 0) for answer in answers),
        )

    @property
    def milliseconds(self) -> Spread:
        """Of a batch."""
        return spread(self.seconds).scaled(1000)

    @property
    def image_milliseconds(self) -> Spread:
        return spread(self.image_seconds).scaled(1000)

    @property
    def images_per_second(self) -> float:
        return self.batch / spread(self.seconds).median

    @property
    def memory_mb(self) -> float:
        """On the device; on a CPU, of the process."""
        return self.peak_mb if self.device_mb is None else self.device_mb


@dataclass(frozen=True)
class DataWait:
    """Training on data by the training loop, after the warm-up.

    Attributes:
        mode: "Graph" or "Pynative".
        seconds: of each step with its waiting.
        waited: seconds of these spent waiting for the loader.
    """

    mode: str
    batch: int
    seconds: tuple[float, ...]
    waited: tuple[float, ...]

    @property
    def share(self) -> float:
        """0 to 1, of all steps together."""
        return sum(self.waited) / sum(self.seconds)

    @property
    def images_per_second(self) -> float:
        return self.batch * len(self.seconds) / sum(self.seconds)


@dataclass
class Results:
    """All that a benchmark found out.

    Attributes:
        about: the network, the device and the options; see `describe` in benchmarks/tasks.py.
        options: those that the user gave, by name.
        ours: "train" and "infer" -> mode -> timing.
        peers: the same for timm, whose batches took turns with those of that mode.
        peer: timm's name of the network, and versions; empty without a peer.
        data: None if it was not measured.
        measures: "top1", "top5" or "mAP" in per cent; empty if not measured.
        failures: what could not be measured -> why.
    """

    about: dict[str, Any]
    options: dict[str, Any]
    date: str
    ours: dict[str, dict[str, Timing]] = field(default_factory=lambda: {"train": {}, "infer": {}})
    peers: dict[str, dict[str, Timing]] = field(default_factory=lambda: {"train": {}, "infer": {}})
    peer: dict[str, Any] = field(default_factory=dict)
    data: DataWait | None = None
    measures: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def epoch_images(self) -> int:
        """Images of an epoch: those of the data set, or of ImageNet without one."""
        return self.about["epoch_images"] or IMAGENET_IMAGES

    def epoch_seconds(self, mode: str) -> float:
        """Of an epoch of training steps alone."""
        return self.epoch_images / self.ours["train"][mode].images_per_second
