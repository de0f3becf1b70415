"""Options that contradict each other: the lower layer gives way with a notice; and options without effect."""

import pytest
from config_lines import CIFAR, train

from config import SCRIPTS, load_config
from mindcv.data import list_datasets
from mindcv.folders import BUILT_IN

RECIPE = """
dataset: imagenet
num_classes: 1000
val_split: val
mean: [0.1, 0.2, 0.3]
pretrained: true
use_nesterov: true
lr: 0.1
min_lr: 0.001
warmup_epochs: 5
epoch_size: 90
"""


@pytest.mark.parametrize(
    ("argv", "key", "value", "notice"),
    [
        (["--epoch_size=1"], "warmup_epochs", 0.1, "warmup_epochs=5 ({}) gives way to epoch_size=1 (command line)"),
        (["--epoch_size=5"], "warmup_epochs", 0.5, "gives way to epoch_size=5 (command line): warmup_epochs=0.5"),
        (
            ["--scheduler=step_decay", "--decay_epochs=2"],
            "warmup_epochs",
            0.2,
            "warmup_epochs=5 ({}) gives way to decay_epochs=2 (command line)",
        ),
        (
            ["--scheduler=multi_step_decay", "--multi_step_decay_milestones=4,8"],
            "warmup_epochs",
            0.4,
            "gives way to multi_step_decay_milestones=4,8 (command line)",
        ),
        (["--lr=1e-5"], "min_lr", 0.0, "min_lr=0.001 ({}) gives way to lr=1e-05 (command line): min_lr=0.0"),
        (["--opt=adamw"], "use_nesterov", False, "use_nesterov=true ({}) gives way to opt=adamw (command line)"),
        (["--momentum=0"], "use_nesterov", False, "use_nesterov=true ({}) gives way to momentum=0.0"),
        (["--in_channels=1"], "mean", (0.2,), "mean=0.1,0.2,0.3 ({}) gives way to in_channels=1"),
        (["--ckpt_path=a.ckpt"], "pretrained", False, "pretrained=true ({}) gives way to ckpt_path=a.ckpt"),
        (["--scheduler=one_cycle"], "warmup_epochs", 0, "warmup_epochs=5 ({}) gives way to scheduler=one_cycle"),
        (["--warmup_steps=9"], "warmup_epochs", 0, "warmup_epochs=5 ({}) gives way to warmup_steps=9 (command line)"),
        (["--lr_base=0.1", "--batch_size=512"], "lr", 0.2, "lr=0.1 ({}) gives way to lr_base=0.1 (command line): lr="),
        (["--dataset=cifar10"], "num_classes", None, "num_classes=1000 ({}), val_split=val"),
        (["--dataset=cifar10"], "val_split", None, "val_split=val ({}) give way to dataset=cifar10"),
    ],
)
def test_a_recipe_gives_way_to_the_command_line_with_a_notice(argv, key, value, notice, recipe):
    path = recipe(RECIPE)
    cfg = train("-c", path, *argv)
    assert cfg.to_dict()[key] == pytest.approx(value)
    assert any(notice.format(path) in line for line in cfg.notices), cfg.notices


@pytest.mark.parametrize(
    ("argv", "remarks"),
    [
        (["--mixup_mode=elem"], ["mixup_mode has no effect with mixup=0.0, cutmix=0.0, cutmix_minmax=none"]),
        (["--mixup=0.2", "--mixup_mode=elem", "--cutmix_prob=0.5"], []),
        (
            ["--mixup=0.2", "--mixup_switch_prob=0.1"],
            ["mixup_switch_prob has no effect with cutmix=0.0, cutmix_minmax=none"],
        ),
        (["--cutmix=1", "--mixup_switch_prob=0.1"], ["mixup_switch_prob has no effect with mixup=0.0"]),
        (["--mixup=1", "--cutmix_minmax=0.2,0.8", "--mixup_switch_prob=0.1"], []),
        (["--cutmix=1", "--cutmix_minmax=0.2,0.8"], ["cutmix has no effect with cutmix_minmax=0.2,0.8"]),
        (["--re_count=2"], ["re_count has no effect with re_prob=0.0"]),
    ],
)
def test_options_of_mixing_and_erasing_without_effect_are_named(argv, remarks):
    assert list(train(CIFAR, *argv).notices) == remarks


def test_another_schedule_does_not_inherit_the_recipes_decay_epochs(recipe):
    path = recipe("scheduler: cosine_decay\ndecay_epochs: 85\nwarmup_epochs: 5\n")
    with pytest.raises(ValueError, match="needs decay_epochs"):
        train("-c", path, "--scheduler=step_decay")
    assert train("-c", path, "--scheduler=step_decay", "--decay_epochs=30").schedule.decay_epochs == 30


def test_another_optimizer_does_not_inherit_the_recipes_betas_and_eps(recipe):
    path = recipe("dataset: cifar10\nopt: lion\nbetas: [0.9, 0.95]\neps: 0.001\n")
    cfg = train("-c", path, "--opt=adan")
    assert (cfg.optim.betas, cfg.optim.eps) == (None, None)
    assert f"betas=0.9,0.95 ({path}), eps=0.001 ({path}) give way to opt=adan (command line)" in cfg.notices
    cfg = train("-c", recipe("dataset: cifar10\nbetas: [0.9, 0.95]\n"), "--opt=adan")  # of no optimizer in particular
    assert cfg.optim.betas is None and any("betas=none" in line for line in cfg.notices)


def test_another_data_set_does_not_inherit_the_weights_of_the_recipes_classes(recipe):
    path = recipe("dataset: flowers\nclass_weights: [1, 2, 3]\n")
    cfg = train("-c", path, "--dataset=birds")
    assert cfg.loss.class_weights is None
    assert f"class_weights=1.0,2.0,3.0 ({path}) gives way to dataset=birds (command line)" in cfg.notices
    assert train("-c", path, "--epoch_size=3").loss.class_weights == (1, 2, 3)
    path = recipe("dataset: flowers\nclass_weights: balanced\n")
    assert train("-c", path, "--dataset=birds").loss.class_weights == "balanced"


def test_a_folder_of_another_data_set_is_kept_with_a_remark(recipe):
    cfg = train("-c", recipe("dataset: imagenet\ndata_dir: all\n"), "--dataset=flowers")
    assert cfg.data.data_dir == "all"
    assert [line.endswith("was given for dataset=imagenet") for line in cfg.notices] == [True]
    assert not train("-c", recipe("dataset: imagenet\ndata_dir: all\n"), "--dataset=a", "--data_dir=b").notices


def test_a_run_of_one_epoch_shortens_the_warmup_of_the_digits_preset():
    cfg = train("--epoch_size=1")
    assert cfg.schedule.warmup_epochs == 0.1
    assert any("warmup_epochs=1 (configs/sknet/sknet50_digits.yaml) gives way" in line for line in cfg.notices)


def test_a_base_gives_way_to_its_recipe(recipe):
    recipe(RECIPE, "base.yaml")
    cfg = train("-c", recipe("base: base.yaml\nepoch_size: 3\n"))
    assert cfg.schedule.warmup_epochs == 0.3


def test_a_checkpoint_gives_way_to_the_command_line():
    inherited = {"dataset": "cifar10", "warmup_epochs": 5, "epoch_size": 9, "use_nesterov": True}
    cfg = train("--epoch_size=2", "--opt=adam").inherit(inherited, "a.ckpt")
    assert (cfg.schedule.warmup_epochs, cfg.optim.use_nesterov) == (0.2, False)
    cfg = load_config(["--dataset=mnist"], prog="validate").inherit({"dataset": "cifar10", "val_split": "x"})
    assert cfg.data.val_split is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epoch_size=1", "--warmup_epochs=1"], "leaves nothing of epoch_size=1"),
        (["--lr=1e-5", "--min_lr=1"], "is above lr=1e-05"),
        (["--opt=adam", "--use_nesterov"], "use_nesterov=true"),
        (["--in_channels=1", "--mean=0.1,0.2,0.3"], "one value per channel"),
        (["--pretrained", "--ckpt_path=a.ckpt"], "one of them only"),
        (["--scheduler=step_decay", "--decay_epochs=1", "--warmup_epochs=1"], "must end before the first drop"),
        (["--scheduler=multi_step_decay", "--warmup_epochs=30"], "must end before the first drop"),
        (["--scheduler=cyclic", "--warmup_epochs=1"], "rises by itself: it takes no warmup"),
        (["--warmup_steps=10", "--warmup_epochs=1"], "the warmup has one length"),
        (["--epoch_size=9", "--cooldown_epochs=9", "--min_lr=0.001"], "leave nothing of epoch_size=9"),
        (["--scheduler=step_decay", "--decay_epochs=9", "--decay_rate=2"], r"decay_rate=2.0 .* must be in \(0, 1\]"),
        (["--scheduler=plateau", "--val_while_train=false"], "the learning rate of plateau follows the validation"),
        (["--lr=0.1", "--lr_base=0.1"], "lr=0.1 .* is not 0.025, which follows from lr_base=0.1"),
    ],
)
def test_contradictions_within_one_layer_are_errors(argv, message, recipe):
    lines = [f"{word.lstrip('-').partition('=')[0]}: {word.partition('=')[2] or 'true'}" for word in argv]
    for line in ([CIFAR, *argv], ["-c", recipe("\n".join(lines).replace("0.1,0.2,0.3", "[0.1, 0.2, 0.3]"))]):
        with pytest.raises(ValueError, match=message):
            train(*line)


@pytest.mark.parametrize(
    ("argv", "lr"),
    [
        (["--batch_size=512"], 0.2),
        (["--batch_size=128", "--gradient_accumulation_steps=8"], 0.4),
        (["--batch_size=512", "--lr_base_size=128"], 0.4),
        (["--batch_size=1024", "--lr_base_scale=sqrt"], 0.2),
        (["--batch_size=1024", "--opt=adamw"], 0.2),  # sqrt, as in timm
        (["--batch_size=1024", "--opt=adamw", "--lr_base_scale=linear"], 0.4),
    ],
)
def test_the_learning_rate_follows_from_lr_base_and_the_total_batch(argv, lr):
    assert train(CIFAR, "--lr_base=0.1", *argv).schedule.lr == pytest.approx(lr)


def test_a_saved_learning_rate_follows_from_lr_base_again(tmp_path):
    saved = tmp_path / "config.yaml"
    train(CIFAR, "--lr_base=0.1", "--batch_size=512").save(saved)
    cfg = train("-c", str(saved))
    assert (cfg.schedule.lr, cfg.lr_base.lr_base, cfg.notices) == (0.2, 0.1, ())
    cfg = train("-c", str(saved), "--batch_size=256")
    assert cfg.schedule.lr == 0.1 and "lr=0.2" in cfg.notices[0] and "gives way to batch_size=256" in cfg.notices[0]
    cfg = train("-c", str(saved), "--batch_size=256", "--lr=0.3")
    assert (cfg.schedule.lr, cfg.lr_base.lr_base) == (0.3, None)
    assert "lr_base=0.1" in cfg.notices[0] and "gives way to lr=0.3" in cfg.notices[0]


def test_the_factor_of_a_drop_is_not_that_of_another_schedule(recipe):
    path = recipe("dataset: flowers\nscheduler: multi_step_decay\ndecay_rate: 0.2\n")
    cfg = train("-c", path, "--scheduler=exponential_decay")
    assert cfg.schedule.decay_rate is None
    assert f"decay_rate=0.2 ({path}) gives way to scheduler=exponential_decay (command line)" in cfg.notices
    assert train("-c", path, "--epoch_size=95").schedule.decay_rate == 0.2


def test_plateau_turns_the_validation_on(recipe):
    cfg = train("-c", recipe("val_while_train: false"), "--scheduler=plateau")
    assert cfg.train.val_while_train and "val_while_train=false" in cfg.notices[0]


def test_the_command_lines_own_dataset_keeps_its_own_classes(recipe):
    cfg = train("-c", recipe(RECIPE), "--dataset=flowers", "--num_classes=5", "--val_split=dev")
    assert (cfg.model.num_classes, cfg.data.val_split) == (5, "dev")
    assert train("-c", recipe(RECIPE), "--dataset=imagenet").model.num_classes == 1000
    assert train("-c", recipe("num_classes: 7"), "--dataset=flowers").model.num_classes == 7


# Validation


def test_outside_training_the_sizes_of_validation_are_the_only_ones(recipe):
    run = {"batch_size": 64, "val_batch_size": 16, "image_resize": 224, "val_image_resize": 320}
    for prog in ("validate", "infer"):
        config = load_config([], prog=prog).inherit(run, "a.ckpt")
        assert (config.eval_batch_size, config.eval_image.image_resize) == (16, 320) and not config.notices
        config = load_config(["--batch_size=8", "--image_resize=96"], prog=prog).inherit(run, "a.ckpt")
        assert (config.eval_batch_size, config.eval_image.image_resize) == (8, 96)
        assert "val_image_resize=320 (a.ckpt) gives way to image_resize=96 (command line): " in config.notices[1]
    config = load_config(["-c", recipe("image_resize: 96\nval_image_resize: 128\n")], prog="export")
    assert config.inherit(run, "a.ckpt").eval_image.image_resize == 128
    config = train(CIFAR, "--val_batch_size=7", "--val_image_resize=48")
    assert (config.data.batch_size, config.image.image_resize) == (64, 224)
    assert (config.eval_batch_size, config.eval_image.image_resize) == (7, 48)


# Without effect


@pytest.mark.parametrize(
    ("prog", "argv", "notice"),
    [
        ("train", ["--compile_cache", "--mode=1"], "compile_cache has no effect with mode=1"),
        ("train", ["--on_bad_image=skip"], "on_bad_image has no effect with dataset=cifar10"),
        ("train", ["--color_jitter=0.1", "--auto_augment=randaug"], "color_jitter has no effect with auto_augment"),
        (
            "train",
            ["--color_jitter_prob=0.1", "--auto_augment=augmix"],
            "color_jitter_prob has no effect with auto_augm",
        ),
        ("train", ["--color_jitter_prob=0.1", "--color_jitter=0"], "color_jitter_prob has no effect with color_jitter"),
        ("train", ["--color_jitter=0.1", "--color_jitter_prob=0"], "color_jitter has no effect with color_jitter_prob"),
        ("train", ["--grayscale_prob=0.1", "--in_channels=1"], "grayscale_prob has no effect with in_channels=1"),
        ("train", ["--train_interpolation=random", "--no_aug"], "train_interpolation has no effect with no_aug=true"),
        ("train", ["--re_prob=0.1", "--no_aug"], "re_prob has no effect with no_aug=true"),
        ("train", ["--weight_decay_filter=norm_and_bias", "--weight_decay=0"], "no effect with weight_decay=0.0"),
        (
            "train",
            ["--opt=lars", "--trust_coeff=0.1", "--weight_decay=0"],
            "trust_coeff has no effect with weight_decay",
        ),
        ("train", ["--opt=lars", "--eps=0.1", "--weight_decay=0"], "eps has no effect with opt=lars, weight_decay=0.0"),
        ("train", ["--layer_decay=0.9", "--freeze=backbone"], "layer_decay has no effect with freeze=backbone"),
        ("train", ["--ckpt_path=a.ckpt", "--resume"], "ckpt_path has no effect with resume=true"),
        ("train", ["--pretrained", "--resume=run"], "pretrained has no effect with resume=run"),
        ("train", ["--val_interval=200"], "validated after the last epoch only"),
        ("train", ["--no-val_while_train", "--val_image_resize=320"], "val_image_resize has no effect with val_while"),
        ("train", ["--no-val_while_train", "--early_stop_patience=3"], "early_stop_patience has no effect with val_wh"),
        ("train", ["--early_stop_delta=0.1"], "early_stop_delta has no effect with early_stop_patience=none"),
        ("train", ["--ckpt_save_policy=top_k"], "ckpt_save_policy has no effect with keep_checkpoint_max=0"),
        ("validate", ["--val_batch_size=3", "--batch_size=4"], "batch_size=4 (command line) has no effect with val_"),
        ("train", ["--scheduler=multi_step_decay", "--epoch_size=30"], "no drop at 30,60,90: training ends before"),
        ("train", ["--scheduler=step_decay", "--decay_epochs=90"], "the learning rate never drops"),
        ("train", ["--decay_epochs=95"], "the cosine does not reach its end"),
        ("train", ["--decay_epochs=40", "--num_cycles=3"], "the cosine does not reach its end"),
        ("train", ["--scheduler=exponential_decay", "--decay_rate=0.5"], "the learning rate falls to 8e-30"),
        ("train", ["--scheduler=plateau", "--epoch_size=12"], "the learning rate never drops: patience_epochs=10"),
        ("train", ["--cooldown_epochs=3"], "cooldown_epochs=3 (command line) train nothing: min_lr=0.0"),
        (
            "train",
            ["--cooldown_epochs=3", "--decay_epochs=60"],
            "cooldown_epochs has no effect with scheduler=cosine_d",
        ),
        ("train", ["--cycle_decay=0.5"], "cycle_decay has no effect with num_cycles=1"),
        ("train", ["--warmup_factor=0.5"], "no effect with warmup_epochs=0, warmup_steps=none"),
        ("train", ["--lr_base_scale=sqrt"], "lr_base_scale has no effect with lr_base=none"),
        ("train", ["--warmup_steps=9", "--scheduler=multi_step_decay"], "count from the start of training"),
        ("train", ["--amp_level=O2", "--drop_overflow_update"], "no effect with loss_scale_type=auto, loss_scale=none"),
        ("train", ["--no-val_while_train", "--val_split=test"], "val_split has no effect with val_while_train=false"),
        ("train", ["--freeze_bn=none"], "freeze_bn has no effect with freeze=none"),
        ("train", ["--aug_splits=3", "--no_aug"], "aug_splits has no effect with no_aug=true"),
        ("validate", ["--ckpt_path=a.onnx", "--val_amp_level=O2"], "val_amp_level has no effect with ckpt_path=a.onnx"),
        ("validate", ["--ckpt_path=a.ckpt", "--overwrite"], "overwrite has no effect with report='', confusion_matrix"),
        ("validate", ["--check_data", "--val_batch_size=3"], "val_batch_size has no effect with check_data=true"),
        ("validate", ["--check_data", "--image_resize=96"], "image_resize has no effect with check_data=true"),
        ("infer", ["--ckpt_path=a.ckpt", "--overwrite"], "overwrite has no effect with output=''"),
        ("infer", ["--seed=1"], "seed has no effect in infer.py"),
        ("convert", ["--mode=1"], "mode has no effect in convert.py"),
        ("validate", ["--check_data", "--batch_size=3"], "batch_size has no effect with check_data=true"),
        ("validate", ["--fold_bn", "--ckpt_path=a.onnx"], "fold_bn has no effect with ckpt_path=a.onnx"),
        ("infer", ["--no-fold_bn", "--ckpt_path=a.mindir"], "fold_bn has no effect with ckpt_path=a.mindir"),
    ],
)
def test_an_unused_option_is_a_remark(prog, argv, notice):
    cfg = load_config([*argv, *([CIFAR] if prog in ("train", "validate") else [])], prog=prog)
    assert [notice in line for line in cfg.notices] == [True]


@pytest.mark.parametrize("policy", ["3a", "rand-t3a"])
def test_3_augment_keeps_color_jitter(policy):
    assert not train(CIFAR, f"--auto_augment={policy}", "--color_jitter=0.3", "--color_jitter_prob=0.8").notices


def test_digits_are_not_downloaded():
    assert "dataset_download has no effect with dataset=digits" in train("--dataset_download").notices


def test_a_recipes_values_without_effect_are_one_line(recipe):
    path = recipe("dataset: flowers\ndecay_rate: 0.5\nbetas: [0.8, 0.9]\nclip_value: 15.0\n")
    assert train("-c", path).notices == (
        f"{path}: no effect of decay_rate (scheduler=cosine_decay), betas (opt=momentum)",
    )
    for prog in SCRIPTS[1:]:
        assert not load_config(["-c", path], prog=prog).notices


def test_resume_auto_uses_the_weights_if_there_is_no_run():
    assert not train(CIFAR, "--ckpt_path=a.ckpt", "--resume=auto").notices


def test_the_data_sets_in_memory_are_the_built_in_ones():
    assert sorted(BUILT_IN) == list_datasets()


def test_a_decay_rate_that_another_schedule_would_not_survive_is_a_power_of_the_polynomial():
    assert not train(CIFAR, "--scheduler=polynomial_decay", "--decay_rate=2662").notices
