"""The losses in NumPy, float64, written from their definitions."""

import numpy as np


def cross_entropy(logits, labels, label_smoothing=0.0):
    """Mean cross-entropy in nats and its gradient with respect to the logits.

    logits: (B, K). labels: (B,) integers or (B, K) probabilities. Returns a float and (B, K).
    """
    logits = np.asarray(logits, np.float64)
    batch, num_classes = logits.shape
    target = np.eye(num_classes)[labels] if np.ndim(labels) == 1 else np.asarray(labels, np.float64)
    target = target * (1 - label_smoothing) + label_smoothing / num_classes
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(target * log_probs).sum() / batch
    return loss, (np.exp(log_probs) - target) / batch


def losses(name, logits, labels, smoothing=0.1, splits=3):
    """The loss `name` with its default options of each example: (B, K) float64 logits, labels as above -> (B,).

    JSD: of each clean example, B / splits of them.
    """
    num_classes = logits.shape[1]
    target = np.eye(num_classes)[labels] if np.ndim(labels) == 1 else np.asarray(labels, np.float64)
    smooth = target * (1 - smoothing) + smoothing / num_classes
    log_probs = _log_softmax(logits)
    log_yes, log_no = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    if name == "CE":
        return -(smooth * log_probs).sum(1)
    if name == "BCE":
        return -(smooth * log_yes + (1 - smooth) * log_no).mean(1)
    if name == "JSD":
        clean = len(logits) // splits
        each = log_probs.reshape(splits, clean, num_classes)
        log_mean = np.logaddexp.reduce(each, axis=0) - np.log(splits)
        divergence = (np.exp(each) * (each - log_mean)).sum(2).mean(0)
        return -(smooth[:clean] * each[0]).sum(1) + 12 * divergence
    if name == "asl_single_label":
        mistake = target * (1 - np.exp(log_probs)) + (1 - target) * np.exp(log_probs)
        return -(smooth * log_probs * mistake ** (target + 4 * (1 - target))).sum(1)
    if name == "asl_multi_label":
        shifted = np.maximum(np.exp(log_yes) - 0.05, 0)
        mistake = target * np.exp(log_no) + (1 - target) * shifted
        entropy = -(target * log_yes + (1 - target) * np.log(1 - shifted))
        return (entropy * mistake ** (target + 4 * (1 - target))).sum(1)
    assert name == "focal"
    mistake = smooth * np.exp(log_no) + (1 - smooth) * np.exp(log_yes)
    entropy = -(smooth * log_yes + (1 - smooth) * log_no)
    return (entropy * mistake**2 * (0.25 * smooth + 0.75 * (1 - smooth))).mean(1)


def gradient(of, logits, step=1e-5):
    """Central differences of a function of (B, K) float64 logits."""
    found = np.zeros_like(logits)
    for at in np.ndindex(*logits.shape):
        change = np.zeros_like(logits)
        change[at] = step
        found[at] = (of(logits + change) - of(logits - change)) / (2 * step)
    return found


def _log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
