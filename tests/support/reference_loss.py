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
