"""Stand-ins for MindSpore's operators with channels last, which a CPU lacks: its own ones between two transposes."""

from mindspore import Tensor, nn, ops

from mindcv.models import channels_last


class _StandIn(nn.Cell):
    """An operator for maps of (B, H, W, C), with the arguments of MindSpore's."""

    primitive: type[ops.Primitive]

    def __init__(self, *arguments, **options):
        super().__init__(auto_prefix=False)
        arguments, options = list(arguments), dict(options)
        layout = options.pop("data_format") if "data_format" in options else arguments.pop()
        assert layout == "NHWC", layout
        self.operator = self.primitive(*arguments, **options)

    def to_planes(self, x: Tensor) -> Tensor:
        return ops.transpose(x, (0, 3, 1, 2))

    def to_pixels(self, x: Tensor) -> Tensor:
        return ops.transpose(x, (0, 2, 3, 1))

    def construct(self, x, *others):
        return self.to_pixels(self.operator(self.to_planes(x), *others))


class Conv2D(_StandIn):
    primitive = ops.Conv2D

    def construct(self, x, weight):
        return self.to_pixels(self.operator(self.to_planes(x), self.to_planes(weight)))


class BatchNorm(_StandIn):
    primitive = ops.BatchNorm

    def construct(self, x, scale, bias, mean, variance):
        out = self.operator(self.to_planes(x), scale, bias, mean, variance)
        return self.to_pixels(out[0]), out[1]


class AvgPool(_StandIn):
    primitive = ops.AvgPool


class MaxPool(_StandIn):
    primitive = ops.MaxPool


class BiasAdd(_StandIn):
    primitive = ops.BiasAdd


def install(monkeypatch) -> None:
    """Let `use_channels_last` work on a CPU, with the stand-ins."""
    monkeypatch.setattr(channels_last, "on_gpu", lambda: True)
    for stand_in in (AvgPool, BatchNorm, BiasAdd, Conv2D, MaxPool):
        monkeypatch.setattr(channels_last, stand_in.__name__, stand_in)
