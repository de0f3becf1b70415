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


def nadam(params, gradients, rates, decays, *, betas=(0.9, 0.999), eps=1e-8):
    """Dozat 2016, algorithm 2, with the momentum's schedule of its section 3 slowed to 0.96^(0.004 t)."""
    params = [np.array(p, np.float64) for p in params]
    first = [np.zeros_like(p) for p in params]
    second = [np.zeros_like(p) for p in params]
    mus = [betas[0] * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(1, len(rates) + 2)]
    for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            first[i] = betas[0] * first[i] + (1 - betas[0]) * grad
            second[i] = betas[1] * second[i] + (1 - betas[1]) * grad**2
            ahead = mus[t] * first[i] / (1 - np.prod(mus[: t + 1])) + (1 - mus[t - 1]) * grad / (1 - np.prod(mus[:t]))
            params[i] = params[i] - lr * ahead / (np.sqrt(second[i] / (1 - betas[1] ** t)) + eps)
    return params


def rmsprop(params, gradients, rates, decays, *, momentum=0.9, rho=0.9, eps=1e-10):
    """TensorFlow's: eps inside the root, averages that begin at one, the rate inside the velocity."""
    params = [np.array(p, np.float64) for p in params]
    square = [np.ones_like(p) for p in params]
    velocity = [np.zeros_like(p) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            square[i] = rho * square[i] + (1 - rho) * grad**2
            velocity[i] = momentum * velocity[i] + lr * grad / np.sqrt(square[i] + eps)
            params[i] = params[i] - velocity[i]
    return params


def rmsprop_torch(params, gradients, rates, decays, *, momentum=0.9, rho=0.9, eps=1e-8):
    """PyTorch's: eps beside the root, averages that begin at zero, the rate outside the velocity."""
    params = [np.array(p, np.float64) for p in params]
    square = [np.zeros_like(p) for p in params]
    velocity = [np.zeros_like(p) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            square[i] = rho * square[i] + (1 - rho) * grad**2
            velocity[i] = momentum * velocity[i] + grad / (np.sqrt(square[i]) + eps)
            params[i] = params[i] - lr * velocity[i]
    return params


def adagrad(params, gradients, rates, decays):
    """Duchi, Hazan & Singer 2011, figure 1, with sums that begin at 0.1."""
    params = [np.array(p, np.float64) for p in params]
    total = [np.full_like(p, 0.1) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            grad = grad + decays[i] * params[i]
            total[i] = total[i] + grad**2
            params[i] = params[i] - lr * grad / np.sqrt(total[i])
    return params


def _trust(ratio, *norms):
    return ratio if min(norms) > 0 else 1.0


def lamb(params, gradients, rates, decays, *, betas=(0.9, 0.999), eps=1e-6):
    """You et al. 2020, algorithm 2, where phi is the identity; a parameter without decay is not adapted."""
    params = [np.array(p, np.float64) for p in params]
    first = [np.zeros_like(p) for p in params]
    second = [np.zeros_like(p) for p in params]
    for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        for i, grad in enumerate(grads):
            first[i] = betas[0] * first[i] + (1 - betas[0]) * grad
            second[i] = betas[1] * second[i] + (1 - betas[1]) * grad**2
            step = first[i] / (1 - betas[0] ** t) / (np.sqrt(second[i] / (1 - betas[1] ** t)) + eps)
            if decays[i]:
                step = step + decays[i] * params[i]
                weights, length = np.linalg.norm(params[i]), np.linalg.norm(step)
                step = step * _trust(weights / length, weights, length)
            params[i] = params[i] - lr * step
    return params


def lars(params, gradients, rates, decays, *, momentum=0.9, trust_coeff=0.001, eps=1e-8):
    """You et al. 2017, algorithm 1, with the rate outside the velocity; a parameter without decay is not adapted."""
    params = [np.array(p, np.float64) for p in params]
    velocity = [np.zeros_like(p) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            step = grad
            if decays[i]:
                weights, length = np.linalg.norm(params[i]), np.linalg.norm(grad)
                ratio = trust_coeff * weights / (length + decays[i] * weights + eps)
                step = (grad + decays[i] * params[i]) * _trust(ratio, weights, length)
            velocity[i] = momentum * velocity[i] + step
            params[i] = params[i] - lr * velocity[i]
    return params


def lion(params, gradients, rates, decays, *, betas=(0.9, 0.99)):
    """Chen et al. 2023, program 1."""
    params = [np.array(p, np.float64) for p in params]
    moment = [np.zeros_like(p) for p in params]
    for grads, lr in zip(gradients, rates, strict=True):
        for i, grad in enumerate(grads):
            direction = np.sign(betas[0] * moment[i] + (1 - betas[0]) * grad)
            params[i] = params[i] - lr * (direction + decays[i] * params[i])
            moment[i] = betas[1] * moment[i] + (1 - betas[1]) * grad
    return params


def adan(params, gradients, rates, decays, *, betas=(0.98, 0.92, 0.99), eps=1e-8):
    """Xie et al. 2022, algorithm 1, with bias correction; the betas are one minus the paper's."""
    params = [np.array(p, np.float64) for p in params]
    first, change, second = ([np.zeros_like(p) for p in params] for _ in range(3))
    last = gradients[0]
    for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        for i, grad in enumerate(grads):
            difference = np.subtract(grad, last[i], dtype=np.float64)
            first[i] = betas[0] * first[i] + (1 - betas[0]) * grad
            change[i] = betas[1] * change[i] + (1 - betas[1]) * difference
            second[i] = betas[2] * second[i] + (1 - betas[2]) * (grad + betas[1] * difference) ** 2
            rate = lr / (np.sqrt(second[i] / (1 - betas[2] ** t)) + eps)
            step = rate * (first[i] / (1 - betas[0] ** t) + betas[1] * change[i] / (1 - betas[1] ** t))
            params[i] = (params[i] - step) / (1 + lr * decays[i])
        last = grads
    return params
