"""Dropout, stochastic depth and DropBlock with masks that repeat for a seed and continue after a resume.

MindSpore's own Dropout is not reproducible on a CPU (its thread partition is chosen by timing), and its generators keep
a state that can be neither saved nor restored. Here a mask is a pure function of (global seed, layer seed, number of
training calls so far, position), so the only state is the number of calls: an int32 Parameter `draws`.
"""

import hashlib

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindcv.models.layers.layout import MapCell
from mindcv.runtime import rank

# Odd factors that published hashes use (2^32 / golden ratio, lowbias32, murmur3). Changing one changes every mask.
GOLDEN, FIRST, SECOND, THIRD = 0x9E3779B9, 0x7FEB352D, 0x846CA68B, 0x85EBCA6B


def _int32(word: int | np.ndarray) -> Tensor:
    """The int32 with the same lowest 32 bits."""
    return Tensor((np.asarray(word) & 0xFFFFFFFF).astype(np.uint32).view(np.int32))


@ops.constexpr
def _spread_positions(shape: tuple[int, ...]) -> Tensor:
    """0, 1, 2, ... times GOLDEN modulo 2^32, as int32 in `shape`; a constant of a compiled graph."""
    return _int32(np.arange(np.prod(shape)).reshape(shape) * GOLDEN)


@ops.constexpr
def _threshold(keep_prob: float) -> Tensor:
    """The int32 below which a word of uniformly distributed bits is with probability keep_prob."""
    return Tensor(min(round(keep_prob * 2**32) - 2**31, 2**31 - 1), ms.int32)


class _SeededMask(nn.Cell):
    """Multiplies by a Bernoulli mask and by 1 / keep_prob, in training only.

    The mask comes from a hash in int32 arithmetic modulo 2^32, the same on every device, in every mode and for every
    dtype. `mix` mixes the bits: the product moves low bits up, the shift high bits down. With draw n and the key
    (k0, k1) of the layer, position p has the word

        mix(mix(p GOLDEN + w0, FIRST) + w1, SECOND) FIRST    w0 = mix(mix(n GOLDEN + k0, FIRST), SECOND),
                                                             w1 = n THIRD + k1

    and is kept if that is below -2^31 + keep_prob 2^32.
    """

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"a drop rate must be in [0, 1), got {rate}.")
        self.rate = rate
        self.keep_prob = 1.0 - rate
        if rate == 0.0:
            return
        self.draws = Parameter(Tensor(0, ms.int32), name="draws", requires_grad=False)
        words = [ms.get_seed() or 0, seed, *([number] if (number := rank()) else [])]  # processes drop different ones
        digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
        self.key = tuple(_int32(int.from_bytes(digest[i : i + 4], "little")) for i in (0, 4))
        self.golden, self.first, self.second, self.third = (_int32(word) for word in (GOLDEN, FIRST, SECOND, THIRD))
        self.one, self.half_word = Tensor(1, ms.int32), Tensor(16, ms.int32)
        self.xor, self.shift = ops.BitwiseXor(), ops.RightShift()

    def mix(self, word: Tensor, factor: Tensor) -> Tensor:
        # The shift repeats the sign, which is harmless here; an operator to clear it would be slow on a CPU.
        return self.xor(word * factor, self.shift(word, self.half_word))

    def draw(self, shape: tuple[int, ...], keep_prob: float) -> Tensor:
        """The next mask: bool of `shape`, True with probability keep_prob."""
        w0 = self.mix(self.mix(self.draws * self.golden + self.key[0], self.first), self.second)
        w1 = self.draws * self.third + self.key[1]
        ops.assign_add(self.draws, self.one)
        word = self.mix(_spread_positions(shape) + w0, self.first) + w1
        return self.mix(word, self.second) * self.first < _threshold(keep_prob)

    def apply_mask(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x * (self.draw(shape, self.keep_prob).astype(x.dtype) * (1.0 / self.keep_prob))


class Dropout(_SeededMask):
    """Drops single activations of (B, C) features with probability `rate`.

    Args:
        rate: probability of dropping, in [0, 1).
        seed: distinguishes this layer's masks from those of other layers. The global seed is that of
            `mindspore.set_seed` when the layer is built.
    """

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return self.apply_mask(x, x.shape)


class DropPath(_SeededMask):
    """Drops the residual branch of whole examples (stochastic depth): (B, C, H, W) -> (B, C, H, W).

    Args:
        rate: probability of dropping an example's branch, in [0, 1).
        seed: distinguishes this layer's masks from those of other layers. The global seed is that of
            `mindspore.set_seed` when the layer is built.
    Source: Huang et al. 2016, "Deep Networks with Stochastic Depth", equation 2.
    """

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        return self.apply_mask(x, (x.shape[0], 1, 1, 1))


class DropBlock(_SeededMask, MapCell):
    """Drops squares of each channel's map: (B, C, H, W) -> (B, C, H, W), with the mean kept.

    Args:
        rate: expected share of dropped activations, were there no overlaps, in [0, 1).
        seed: distinguishes this layer's masks from those of other layers. The global seed is that of
            `mindspore.set_seed` when the layer is built.
        block_size: side of the squares in pixels, at most that of the map.
    Source: Ghiasi et al. 2018, "DropBlock", algorithm 1 and equation 1.
    """

    def __init__(self, rate: float, seed: int, block_size: int) -> None:
        super().__init__(rate, seed)
        self.block_size = block_size

    def construct(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        batch, channels = x.shape[0], x.shape[self.channel_axis]
        height, width = x.shape[self.space[0]], x.shape[self.space[1]]
        side = min(self.block_size, height, width)
        rows, columns = height - side + 1, width - side + 1  # where the first corner of a square may be
        share = self.rate / side**2 * (height * width) / (rows * columns)
        corners = 1.0 - self.draw((batch, channels, rows, columns), 1.0 - share).astype(ms.float32)
        margin = side - 1
        corners = ops.Pad(((0, 0), (0, 0), (margin, margin), (margin, margin)))(corners)
        kept = ops.stop_gradient(1.0 - ops.MaxPool(side, 1, "valid")(corners))
        kept = kept * (batch * channels * height * width / ops.maximum(kept.sum(), Tensor(1.0, ms.float32)))
        if self.channel_axis == 3:
            kept = ops.transpose(kept, (0, 2, 3, 1))
        return x * kept.astype(x.dtype)
