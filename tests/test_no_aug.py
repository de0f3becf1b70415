"""--no_aug turns the section Augment off, also what is not a transform: views, mixing, and the loss of views."""

import contextlib

import numpy as np
import pytest
from config_lines import train

from assemble_data import build_training_loader
from assemble_training import build_step, build_to_train
from mindcv.engine import RunLength

DIGITS = [str(digit) for digit in range(10)]
LINE = ["--num_samples=20", "--batch_size=10", "--image_resize=8", "--num_parallel_workers=1", "--no_aug"]


def test_batches_have_one_view_and_whole_labels():
    config = train(*LINE, "--aug_splits=3", "--auto_augment=augmix", "--mixup=0.5", "--re_prob=1", "--hflip=1")
    with contextlib.closing(build_training_loader(config, None, resumes=False).epoch(1)) as epoch:
        images, labels = next(epoch)
    with contextlib.closing(build_training_loader(train(*LINE), None, resumes=False).epoch(1)) as epoch:
        plain, plain_labels = next(epoch)
    np.testing.assert_array_equal(images, plain)
    np.testing.assert_array_equal(labels, plain_labels)
    assert config.aug_splits == 0 and len(images) == 10


def test_a_loss_that_needs_views_is_an_error(tiny_model):
    config = train(*LINE, f"--model={tiny_model}", "--aug_splits=3", "--auto_augment=augmix", "--loss=JSD")
    with pytest.raises(ValueError, match=r"loss JSD .* aug_splits must be at least 2"):
        build_step(config, build_to_train(config, DIGITS, None), RunLength(2, 2, 1))
