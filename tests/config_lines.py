"""Configurations of train.py from the words of a command line."""

from config import load_config

CIFAR = "dataset=cifar10"  # on the line where the digits preset is not wanted


def train(*argv, **keywords):
    return load_config(list(argv), prog="train", **keywords)


def flat(*argv, **keywords):
    return train(*argv, **keywords).to_dict()
