"""The optimizers in NumPy, float64, written from their papers' equations.

Each takes a list of parameters, a list (updates) of lists (parameters) of gradients, one learning rate for each update
and one weight decay for each parameter, and returns the parameters after all updates.
"""

import numpy as np


def sgd(params, gradients, rates, decays, *, momentum=0.9, nesterov=False):
    params = [np.array(p, np.float64) for p in params]
    velocity = [np.zeros_like(p) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            velocity[i] = momentum * velocity[i] + grad
            params[i] = params[i] - lr * (grad + momentum * velocity[i] if nesterov else velocity[i])
    return params


def adam(params, gradients, rates, decays, *, betas=(0.9, 0.999), eps=1e-8):
    """Kingma & Ba 2015, with the reordering of the end of section 2: eps is added before the bias correction."""
    params = [np.array(p, np.float64) for p in params]
    first = [np.zeros_like(p) for p in params]
    second = [np.zeros_like(p) for p in params]
    for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            first[i] = betas[0] * first[i] + (1 - betas[0]) * grad
            second[i] = betas[1] * second[i] + (1 - betas[1]) * grad**2
            params[i] = params[i] - rate * first[i] / (np.sqrt(second[i]) + eps)
    return params


def adamw(params, gradients, rates, decays, *, betas=(0.9, 0.999), eps=1e-8):
    """Loshchilov & Hutter 2019, algorithm 2, as in PyTorch: eps is added after the bias correction."""
    params = [np.array(p, np.float64) for p in params]
    first = [np.zeros_like(p) for p in params]
    second = [np.zeros_like(p) for p in params]
    for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        for i, grad in enumerate(grads):
            first[i] = betas[0] * first[i] + (1 - betas[0]) * grad
            second[i] = betas[1] * second[i] + (1 - betas[1]) * grad**2
            first_hat = first[i] / (1 - betas[0] ** t)
            second_hat = second[i] / (1 - betas[1] ** t)
            params[i] = params[i] - lr * (first_hat / (np.sqrt(second_hat) + eps) + decays[i] * params[i])
    return params
