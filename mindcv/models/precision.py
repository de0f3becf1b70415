"""Mixed precision: float16 or bfloat16 where it is safe, float32 for weights, statistics and logits.

Source: Micikevicius et al. 2018, "Mixed Precision Training"; the levels are MindSpore's.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindcv.arguments import AMP_DTYPE, AMP_LEVEL
from mindcv.models.replace import SharedConv2d, replace_cells

_DTYPES = {"float16": ms.float16, "bfloat16": ms.bfloat16}


class _Precision:
    """The dtypes of a level.

    Attributes:
        product: of convolutions and dense layers.
        norm: of the input of a batch norm, whose parameters and statistics are always float32.
        normed: of its output.
    """

    def __init__(self, level: str, dtype: str) -> None:
        low = _DTYPES[dtype]
        self.product = ms.float32 if level == "O0" else low
        self.norm = low if level == "O3" else ms.float32
        self.normed = low if level in ("O2", "O3") else ms.float32


class MixedConv2d(SharedConv2d):
    """A convolution in a precision for training and one for evaluation: (B, C_in, H, W) -> (B, C_out, H/s, W/s)."""

    def __init__(self, conv: nn.Conv2d, training: _Precision, evaluation: _Precision) -> None:
        super().__init__(conv)
        self.dtype_in_training, self.dtype_in_evaluation = training.product, evaluation.product

    def construct(self, x: Tensor) -> Tensor:
        dtype = self.dtype_in_training if self.training else self.dtype_in_evaluation
        y = self.conv2d(x.astype(dtype), self.weight.astype(dtype))
        return self.bias_add(y, self.bias.astype(dtype)) if self.has_bias else y


class MixedDense(nn.Cell):
    """A dense layer in a precision for training and one for evaluation: (B, C_in) -> (B, C_out).

    Args:
        gives_float32: whether the output is float32 at every level, as logits must be.
    """

    def __init__(
        self, dense: nn.Dense, training: _Precision, evaluation: _Precision, *, gives_float32: bool = False
    ) -> None:
        super().__init__()
        self.weight, self.bias = dense.weight, dense.bias if dense.has_bias else None
        self.dtype_in_training, self.dtype_in_evaluation = training.product, evaluation.product
        self.gives_float32 = gives_float32
        self.multiply = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor) -> Tensor:
        dtype = self.dtype_in_training if self.training else self.dtype_in_evaluation
        y = self.multiply(x.astype(dtype), self.weight.astype(dtype))
        if self.bias is not None:
            y = y + self.bias.astype(dtype)
        return y.astype(ms.float32) if self.gives_float32 else y


class MixedNorm(nn.Cell):
    """A batch norm with inputs and outputs in a precision for training and one for evaluation, any shape it takes."""

    def __init__(self, norm: nn.BatchNorm2d, training: _Precision, evaluation: _Precision) -> None:
        super().__init__(auto_prefix=False)
        self.norm = norm
        self.dtypes_in_training = training.norm, training.normed
        self.dtypes_in_evaluation = evaluation.norm, evaluation.normed

    def construct(self, x: Tensor) -> Tensor:
        before, after = self.dtypes_in_training if self.training else self.dtypes_in_evaluation
        return self.norm(x.astype(before)).astype(after)


def set_precision(
    network: nn.Cell,
    training: str = AMP_LEVEL.default,
    evaluation: str = AMP_LEVEL.default,
    dtype: str = AMP_DTYPE.default,
) -> None:
    """Have a network compute in mixed precision, in place; weights, their gradients and logits stay float32.

    - "O0": float32.
    - "O1", "auto": convolutions and dense layers in `dtype`; batch norms and what follows them in float32.
    - "O2": everything in `dtype`, but batch norms compute in float32.
    - "O3": everything in `dtype`; of the batch norms only parameters and statistics are float32.

    Args:
        network: with textbook layers (`device_forms=False`), frozen and folded as it is to be; must not have run.
        training, evaluation: the level in training and in evaluation.
        dtype: "float16" or "bfloat16".
    Raises:
        ValueError: for an unknown level or dtype.
    """
    AMP_DTYPE.check(dtype)
    for level in (training, evaluation):
        AMP_LEVEL.check(level)
    if training == evaluation == "O0":
        return
    precisions = _Precision(training, dtype), _Precision(evaluation, dtype)
    classifier = getattr(network, "classifier", None)

    def form(cell: nn.Cell) -> nn.Cell | None:
        if type(cell) is nn.Conv2d:
            return MixedConv2d(cell, *precisions)
        if isinstance(cell, nn.Dense):
            return MixedDense(cell, *precisions, gives_float32=cell is classifier)
        if isinstance(cell, nn.BatchNorm2d):
            return MixedNorm(cell, *precisions)
        return None

    replace_cells(network, form)
