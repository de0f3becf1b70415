"""MindCV's recipes: read unchanged, or rejected with the name of the unsupported setting."""

import re

import pytest
from config_lines import CIFAR, train

import config
from config import OPTIONS

MINDCV_KEYS = """
mode: 0
distribute: True
num_parallel_workers: 8
val_while_train: True
val_interval: 1
dataset: "imagenet"
data_dir: "/path/to/imagenet"
shuffle: True
dataset_download: False
batch_size: 64
drop_remainder: True
image_resize: 224
scale: [0.08, 1.0]
ratio: [0.75, 1.333]
hflip: 0.5
interpolation: "bicubic"
crop_pct: 0.875
re_prob: 0.1
model: "{model}"
num_classes: 1000
pretrained: False
ckpt_path: ""
keep_checkpoint_max: 30
ckpt_save_policy: 'latest_k'
ckpt_save_dir: "./ckpt"
epoch_size: 200
dataset_sink_mode: True
amp_level: "{amp_level}"
loss: "CE"
label_smoothing: 0.1
scheduler: "{scheduler}"
min_lr: 0.0
lr: 0.1
warmup_epochs: 5
warmup_factor: 0.01
decay_epochs: 195
opt: "momentum"
momentum: 0.9
weight_decay: 0.00004
loss_scale: 1024
use_nesterov: False
"""


@pytest.mark.parametrize(
    ("model", "scheduler"),
    [
        ("skresnet18", "cosine_decay"),
        ("resnet50", "cosine_decay"),
        ("resnext50_32x4d", "cosine_decay"),
        ("seresnet50", "warmup_cosine_decay"),
    ],
)
def test_a_recipe_with_mindcvs_keys_is_read(model, scheduler, recipe):
    names = {"model": model, "scheduler": scheduler}
    cfg = train("-c", recipe(MINDCV_KEYS.format(amp_level="O2", **names)))
    assert (cfg.model.model, cfg.schedule.scheduler, cfg.schedule.decay_epochs) == (model, "cosine_decay", 195)
    assert (cfg.optim.weight_decay, cfg.augment.ratio) == (4e-5, (0.75, 1.333))
    notices = [line for line in cfg.notices if not line.startswith("num_parallel_workers=8")]  # a small machine
    assert [re.search(r"\w+ has no effect", line)[0].split()[0] for line in notices] == [
        "distribute",
        "dataset_sink_mode",
    ]


@pytest.mark.parametrize("key", ["distribute", "dataset_sink_mode"])
def test_what_cannot_change_a_result_is_remarked_unless_it_is_off(key, recipe):
    assert not train("-c", recipe(f"{key}: False")).notices
    assert not train(CIFAR, f"--no-{key}").notices
    reason = config.WITHOUT_EFFECT[key]
    (notice,) = train("-c", recipe(f"{key}: True")).notices
    assert notice.endswith(f"recipe.yaml, line 1: {key} has no effect here: {reason}")
    assert train(CIFAR, f"--{key}").notices == (f"command line: {key} has no effect here: {reason}",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (  # EfficientNet, MnasNet, NASNet
            "opt: 'rmsprop'\nmomentum: 0.9\nweight_decay: 1e-5\nuse_nesterov: False\neps: 1e-3\n",
            {"opt": "rmsprop", "momentum": 0.9, "eps": 1e-3, "use_nesterov": False},
        ),
        ("opt: 'lion'\nweight_decay: 0.15\nuse_nesterov: False\n", {"opt": "lion", "betas": None}),  # CoaT
        ("opt: 'AdamW'\nweight_decay: 0.05\n", {"opt": "adamw", "eps": None}),
        (  # BiT, MobileNet, ShuffleNet
            "opt: 'SGD'\nweight_decay_filter: 'auto'\nmomentum: 0.9\nweight_decay: 4e-5\n",
            {"opt": "sgd", "weight_decay_filter": "auto"},
        ),
    ],
    ids=["rmsprop", "lion", "adamw", "auto"],
)
def test_the_optimizers_of_mindcvs_recipes_are_read_without_a_remark(text, expected, recipe):
    cfg = train("-c", recipe(text))
    assert vars(cfg.optim).items() >= expected.items()
    assert not cfg.notices


@pytest.mark.parametrize("key", config.UNAVAILABLE)
def test_an_unsupported_feature_is_accepted_if_off_and_named_otherwise(key, recipe):
    off_values, _ = config.UNAVAILABLE[key]
    for off in off_values:
        assert not train("-c", recipe(f"{key}: {off}")).notices
        assert not train(CIFAR, f"--{key}={off}").notices
    with pytest.raises(ValueError, match=rf"line 1: {key}: 'on-7' is not available .* set it to \w+$"):
        train("-c", recipe(f"{key}: on-7"))
    with pytest.raises(ValueError, match=rf"command line: {key}: 'true' is not available"):
        train(CIFAR, f"--{key}") if off_values != (0, 1) else train(CIFAR, f"{key}=true")


def test_the_command_line_turns_off_an_unsupported_feature_of_a_recipe(recipe):
    path = recipe("eval_shuffle: True\namp_cast_list: conv\nseed: 3\n")
    cfg = train("-c", path, "--eval_shuffle=False", "--amp_cast_list", "none")
    assert cfg.runtime.seed == 3
    assert set(cfg.sources) == set(OPTIONS)
    with pytest.raises(ValueError, match="line 2: amp_cast_list"):
        train("-c", path, "--no-eval_shuffle")
    with pytest.raises(ValueError, match=r"line 1: eval_shuffle: .*\n.*line 2: amp_cast_list"):
        train("-c", path)
    with pytest.raises(ValueError, match="ema is given twice, as true and as false"):
        train(CIFAR, "--ema", "--ema=false")


@pytest.mark.parametrize("text", ["auto_augment: ''", "auto_augment:", "mixup: 0.0", "ema: no"])
def test_off_has_more_than_one_spelling(text, recipe):
    assert not train("-c", recipe(text)).notices


def test_mindcvs_cycles_and_stair_are_read(recipe):
    text = "scheduler: warmup_cosine_decay\nepoch_size: 600\nwarmup_epochs: 30\ndecay_epochs: 270\nnum_cycles: 2\n"
    cfg = train("-c", recipe(text + "cycle_decay: 1\nlr_epoch_stair: True\n"))
    assert not cfg.notices
    schedule = cfg.schedule
    assert (schedule.scheduler, schedule.num_cycles, schedule.cycle_decay) == ("cosine_decay", 2, 1.0)
    assert (schedule.decay_epochs, schedule.lr_epoch_stair) == (270, True)


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("mixup: 0.2\ncutmix: 1.0\ncutmix_prob: 1.0", ""),
        ("mixup: 0.8\ncutmix: 1.0\naug_repeats: 3\nre_max_attempts: 1\nre_prob: 0.25\nre_value: 'random'", ""),
        ("mixup: 0.8", ""),
        ("mixup: 0.2\ncutmix: 1.0\ncutmix_prob: 0.0", "mixup (cutmix_prob=0.0), cutmix (cutmix_prob=0.0)"),
        ("aug_splits: 3\nauto_augment: augmix", ""),
    ],
)
def test_mindcvs_mixing_and_repeating_are_read_and_what_it_ignores_is_said(text, idle, recipe):
    path = recipe(text)
    cfg = train("-c", path)
    wanted = dict(line.split(": ") for line in text.splitlines())
    assert {key: str(cfg.to_dict()[key]) for key in wanted} == {key: text.strip("'") for key, text in wanted.items()}
    assert cfg.notices == ((f"{path}: no effect of {idle}",) if idle else ())


def test_mindcvs_top_k_policy_is_taken(recipe):
    cfg = train("-c", recipe("ckpt_save_policy: top_k\nkeep_checkpoint_max: 10"))
    assert cfg.train.ckpt_save_policy == "top_k" and not cfg.notices
