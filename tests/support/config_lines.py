"""Configurations of train.py from the words of a command line."""

from config import load_config

CIFAR = "dataset=cifar10"  # for lines without the digits preset


def train(*argv):
    return load_config(list(argv), prog="train")


def flat(*argv):
    return train(*argv).to_dict()
