"""Command lines and files for the scripts that take weights."""

import csv

from mindcv.weights import timm_names

SIZE = 32
MODEL = ["--model=resnet18", f"--image_resize={SIZE}", "--mode=1"]
DIGITS = [*MODEL, "--dataset=digits", "--crop_pct=1", "--num_samples=60", "--batch_size=16", "--num_parallel_workers=1"]


def timm_state(weights):
    names = timm_names(weights)
    return {names[name]: array for name, array in weights.items()}


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))
