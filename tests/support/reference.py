"""The selective kernel convolution in NumPy, written from the paper, in the precision of its arguments.

Li et al. 2019, section 3.1. Shapes: B batch, M branches, C channels, H x W space, d reduced channels.
"""

import numpy as np

EPS = 1e-5


def conv2d(x, weight, stride=1, dilation=1, groups=1):
    """Correlation with zero padding `dilation * (k - 1) // 2`.

    (B, C_in, H, W), weight (C, C_in / groups, k, k) -> (B, C, H', W').
    """
    batch, _, height, width = x.shape
    out_channels, group_channels, k, _ = weight.shape
    padding = dilation * (k - 1) // 2
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out_height = (height + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    out_width = (width + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    out = np.zeros((batch, out_channels, out_height, out_width), x.dtype)
    for channel in range(out_channels):
        first = channel // (out_channels // groups) * group_channels
        for row in range(out_height):
            for column in range(out_width):
                top, left = row * stride, column * stride
                bottom, right = top + dilation * (k - 1) + 1, left + dilation * (k - 1) + 1
                window = padded[:, first : first + group_channels, top:bottom:dilation, left:right:dilation]
                out[:, channel, row, column] = (window * weight[channel]).sum(axis=(1, 2, 3))
    return out


def batch_norm(x, scale, shift, running_mean, running_var, training):
    """Normalise (B, C, H, W) per channel by the batch's statistics in training, else by the running ones."""
    mean = x.mean(axis=(0, 2, 3)) if training else running_mean
    var = x.var(axis=(0, 2, 3)) if training else running_var
    mean, var, scale, shift = (v.reshape(1, -1, 1, 1) for v in (mean, var, scale, shift))
    return (x - mean) / np.sqrt(var + EPS) * scale + shift


def relu(x):
    return np.maximum(x, 0)


def softmax(x, axis):
    exp = np.exp(x - x.max(axis=axis, keepdims=True))
    return exp / exp.sum(axis=axis, keepdims=True)


def sk_attention(branches, weights, training):
    """M feature maps (M, B, C, H, W) -> (B, M, C), the paper's equations 1 to 5."""
    num_branches, batch, channels = branches.shape[:3]
    descriptor = branches.sum(axis=0).mean(axis=(2, 3), keepdims=True)
    descriptor = conv2d(descriptor, weights["fuse.conv.weight"])
    descriptor = relu(batch_norm(descriptor, *_norm(weights, "fuse.bn"), training))
    logits = conv2d(descriptor, weights["select.conv.weight"])
    return softmax(logits.reshape(batch, num_branches, channels), axis=1)


def selective_kernel(x, weights, *, branches=2, stride=1, dilation=1, groups=1, split_input=False, training=False):
    """SK convolution of (B, C_in, H, W) -> ((B, C, H', W'), attention (B, M, C)).

    weights: by the names of the Cell's parameters.
    """
    inputs = np.split(x, branches, axis=1) if split_input else [x] * branches
    features = []
    for m, branch_input in enumerate(inputs):
        name = f"split.branches.{m}"
        feature = conv2d(branch_input, weights[f"{name}.conv.weight"], stride, dilation * (m + 1), groups)
        features.append(relu(batch_norm(feature, *_norm(weights, f"{name}.bn"), training)))
    features = np.stack(features)
    attention = sk_attention(features, weights, training)
    selected = np.einsum("mbchw,bmc->bchw", features, attention)
    return selected, attention


def _norm(weights, name):
    return tuple(weights[f"{name}.{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance"))
