"""Spellings of values on the command line and in YAML, and the errors for illegal ones."""

import pytest
from config_lines import CIFAR, flat, train

from config import OPTIONS

# Spellings


@pytest.mark.parametrize(
    ("argv", "key", "value"),
    [
        (["--epoch_size", "5"], "epoch_size", 5),
        (["--epoch_size=5"], "epoch_size", 5),
        (["--epoch-size=5"], "epoch_size", 5),
        (["epoch_size=5"], "epoch_size", 5),
        (["--lr", "1e-4"], "lr", 1e-4),
        (["lr=1E-4"], "lr", 1e-4),
        (["--lr", "1"], "lr", 1.0),
        (["--warmup_epochs=0.5"], "warmup_epochs", 0.5),
        (["--pretrained"], "pretrained", True),
        (["--pretrained", "--lr=1"], "pretrained", True),
        (["--pretrained", "lr=1"], "pretrained", True),
        (["--pretrained", "True"], "pretrained", True),
        (["--pretrained=yes"], "pretrained", True),
        (["pretrained=ON"], "pretrained", True),
        (["--pretrained", "1"], "pretrained", True),
        (["--pretrained=false"], "pretrained", False),
        (["--no-shuffle"], "shuffle", False),
        (["--no_shuffle"], "shuffle", False),
        (["--shuffle", "0"], "shuffle", False),
        (["--shuffle=No"], "shuffle", False),
        (["--shuffle=off"], "shuffle", False),
        (["--scale", "0.1,1.0"], "scale", (0.1, 1.0)),
        (["--scale", "0.1", "1.0"], "scale", (0.1, 1.0)),
        (["--scale", "0.1", "1.0", "lr=1"], "scale", (0.1, 1.0)),
        (["--scale", "[0.1, 1.0]"], "scale", (0.1, 1.0)),
        (["--scale", "[0.1,", "1.0]"], "scale", (0.1, 1.0)),
        (["--scale=(0.1, 1.0)"], "scale", (0.1, 1.0)),
        (["scale=0.1 1"], "scale", (0.1, 1.0)),
        (["--multi_step_decay_milestones", "3", "6"], "multi_step_decay_milestones", (3, 6)),
        (["--multi_step_decay_milestones=(7,)"], "multi_step_decay_milestones", (7,)),
        (["--color_jitter", "0.2"], "color_jitter", 0.2),
        (["--color_jitter", "0.1,0.2,0.3"], "color_jitter", (0.1, 0.2, 0.3)),
        (["--color_jitter", "None"], "color_jitter", None),
        (["--num_samples=null"], "num_samples", None),
        (["--val_split=none"], "val_split", None),
        (["--val_split=test"], "val_split", "test"),
        (["--opt=AdamW"], "opt", "adamw"),
        (["--device_target=cpu"], "device_target", "CPU"),
        (["--re_value", "0"], "re_value", 0),
        (["--re_value", "random"], "re_value", "random"),
        (["--ckpt_path="], "ckpt_path", ""),
        (["--data_dir", "/data/a=b"], "data_dir", "/data/a=b"),
        (["--data_dir", "x=1"], "data_dir", "x=1"),
        (["--lr", "0.1", "--lr=1e-1"], "lr", 0.1),
    ],
)
def test_command_line_spelling(argv, key, value):
    got = flat(*argv, CIFAR)[key]
    assert (got, type(got)) == (value, type(value))
    assert flat(CIFAR, *argv)[key] == value


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr: 1e-4", "lr", 1e-4),
        ("lr: 1", "lr", 1.0),
        ("epoch-size: 5", "epoch_size", 5),
        ("batch_size: 010", "batch_size", 10),
        ("pretrained: yes", "pretrained", True),
        ("pretrained: 'False'", "pretrained", False),
        ("scale: [0.1, 1]", "scale", (0.1, 1.0)),
        ("scale: (0.1, 1)", "scale", (0.1, 1.0)),
        ("scale:\n- 0.1\n- 1", "scale", (0.1, 1.0)),
        ("num_samples:", "num_samples", None),
        ("num_samples: None", "num_samples", None),
        ("color_jitter: ~", "color_jitter", None),
        ("mode: 1", "mode", 1),
        ("loss: ce", "loss", "CE"),
        ('model: "resnet50"', "model", "resnet50"),
        ("data_dir: 2024-01-01", "data_dir", "2024-01-01"),
        ("# nothing\n", "seed", 42),
        ("", "seed", 42),
    ],
)
def test_yaml_spelling(text, key, value, recipe):
    got = flat("-c", recipe(text))[key]
    assert (got, type(got)) == (value, type(value))


# Errors: every message names the place, the key, the value and the legal values


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epcoh_size=3"], "command line: unknown option 'epcoh_size'. Did you mean 'epoch_size'"),
        (["epcoh_size=3"], "unknown option 'epcoh_size'. Did you mean 'epoch_size'"),
        (["--milestones=3"], "Did you mean 'multi_step_decay_milestones'"),
        (["--epoch=3"], "unknown option 'epoch'"),
        (["-lr", "3"], "write --lr, with two dashes"),
        (["--lr"], "--lr needs a value"),
        (["--lr", "--seed=1"], "--lr needs a value"),
        (["--data_dir", "lr=1"], "--data_dir needs a value"),
        (["-c"], "--config needs a value"),
        (["5"], "unexpected '5'; write --key=value"),
        (["--"], "unexpected '--'"),
        (["--no-pretrained", "1"], "unexpected '1'"),
        (["--batch_size=12.5"], "command line: batch_size: '12.5' is not an integer >= 1"),
        (["--batch_size=12.0"], "not an integer"),
        (["--batch_size=0"], "not an integer >= 1"),
        (["--batch_size=1_0"], "not an integer"),
        (["--batch_size=true"], "not an integer"),
        (["--batch_size=none"], "not an integer"),
        (["--batch_size=" + "9" * 5000], "not an integer"),
        (["--lr=nan"], "lr: 'nan' is not a number > 0"),
        (["--lr=1e999"], "not a number"),
        (["--lr", "-1e-4"], "'-1e-4' is not a number > 0"),
        (["--hflip=1.5"], r"hflip: '1.5' is not a number in \[0, 1\]"),
        (["--crop_pct=0"], r"not a number in \(0, 1\]"),
        (["--label_smoothing=1"], r"not a number in \[0, 1\)"),
        (["--drop_rate=1"], r"not a number in \[0, 1\)"),
        (["--betas=0.9,1"], r"not 2 or 3 numbers in \(0, 1\) or none"),
        (["--opt=adan", "--betas=0.9,0.99"], r"betas=0.9,0.99 \(command line\) must be 3 numbers for opt=adan"),
        (["--clip_value=0"], "not a number > 0"),
        (["--val_interval=0"], "not an integer >= 1"),
        (["--image_resize=0"], "not an integer >= 1"),
        (["--epoch_size=0"], "not an integer >= 1"),
        (["--decay_epochs=0"], "decay_epochs: '0' is not a number > 0 or none"),
        (["--scale=0.5"], "not 2 increasing numbers"),
        (["--scale=0.5,0.1"], "not 2 increasing numbers"),
        (["--scale=0.5,,1"], "not 2 increasing numbers"),
        (["--scale", "0.5", "1", "x"], "'0.5 1 x' is not 2 increasing numbers"),
        (["--scale="], "not 2 increasing numbers"),
        (["--color_jitter=1,1"], "not a number >= 0 or 3 or 4 numbers or none"),
        (["--multi_step_decay_milestones=30,30"], "not increasing integers > 0"),
        (["--multi_step_decay_milestones=1.5"], "not increasing integers"),
        (["--pretrained="], "pretrained: '' is not true or false or a text"),
        (["--freeze=stem"], "freeze: 'stem' is not an integer >= 1 or backbone or none"),
        (["--opt=adma"], "opt: 'adma' is not one of sgd, .*, adam, adamw, .* Did you mean 'adam'"),
        (["--mode=2"], "mode: '2' is not one of 0, 1"),
        (["--in_channels=2"], "in_channels: '2' is not one of 3, 1"),
        (["--model="], "model: '' is not a text"),
        (["--seed=1", "--seed=2"], "seed is given twice, as 1 and as 2"),
        (["-c", "a.yaml", "--config=b.yaml"], "config is given twice, as a.yaml and as b.yaml"),
        (["--warmup_epochs=90"], r"warmup_epochs=90 \(command line\) leaves nothing of epoch_size=90 \(default\)"),
        (["--use_nesterov", "--opt=adam"], "use_nesterov=true .* needs opt=sgd or momentum"),
        (["--use_nesterov", "--momentum=0"], "momentum above 0"),
        (["--min_lr=1"], "min_lr=1.0 .* is above lr=0.01"),
        (["--scheduler=step_decay"], "needs decay_epochs"),
        (["--mean=0.5"], "mean=0.5 .* must have one value per channel"),
        (["--in_channels=1", "--std=0.2,0.2,0.2"], "std=0.2,0.2,0.2 .* must have one value per channel"),
    ],
)
def test_illegal_command_line(argv, message):
    with pytest.raises(ValueError, match=message):
        train(*argv, CIFAR)


def test_one_channel_takes_one_mean_or_the_default():
    assert train(CIFAR, "--in_channels=1").image.mean == OPTIONS["mean"].default
    assert train(CIFAR, "--in_channels=1", "--mean=0.5", "--std=0.5").image.mean == (0.5,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nepcoh_size: 3", "recipe.yaml, line 2: unknown key 'epcoh_size'. Did you mean 'epoch_size'"),
        ("batch_size: 12.5", "recipe.yaml, line 1: batch_size: '12.5' is not an integer >= 1"),
        ("opt: kron", "one of sgd, momentum, .*, adam, adamw"),
        ("lr:", "lr: '' is not a number > 0"),
        ("lr: [0.1, 0.2]", "not a number > 0"),
        ("seed: 1\nlr: 1\nseed: 1", "line 3: 'seed' is given twice, first in line 1"),
        ("val_split: a\nval-split: b", "'val_split' is given twice"),
        ("optim: {lr: 0.1}", "line 1: expected a plain value or a list of plain values"),
        ("scale: [[0.1], 1]", "expected a plain value"),
        ("scale: &a [*a]", "expected a plain value"),
        ("? [a]\n: 1", "expected a plain value"),
        ("model: !!python/name:os.system", "expected a plain value"),
        ("<<: {lr: 0.1}", "expected a plain value"),
        ("- lr: 0.1", "must hold lines of the form key: value"),
        ("lr", "must hold lines of the form key: value"),
        ("lr: 0.1\n lr: [", "line 2: is not valid YAML"),
        ("a: 1\n---\nb: 1", "single document"),
        ("[" * 500, "is not valid YAML"),
        ('model: "\\UFFFFFFFF"', "is not valid YAML"),
        ("base: recipe.yaml", "goes in a circle: .*recipe.yaml -> .*recipe.yaml"),
        ("base:", "base: '' is not a path"),
        ("base: []", r"base: \[\] is not a path"),
        ("base: other.yaml", "recipe.yaml: base: .*other.yaml: no such file"),
    ],
)
def test_illegal_yaml(text, message, recipe):
    with pytest.raises(ValueError, match=message):
        train("-c", recipe(text))


def test_a_longer_cycle_of_bases_is_an_error(recipe):
    recipe("base: recipe.yaml", "b.yaml")
    with pytest.raises(ValueError, match=r"circle: .*recipe.yaml -> .*b.yaml -> .*recipe.yaml"):
        train("-c", recipe("base: b.yaml"))


def test_an_error_in_a_base_names_the_base(recipe):
    recipe("\nlr: x", "b.yaml")
    with pytest.raises(ValueError, match=r"b.yaml, line 2: lr: 'x' is not a number"):
        train("-c", recipe("base: b.yaml"))


def test_an_unreadable_file_is_a_one_line_error(tmp_path, recipe):
    recipe("seed: 1", "sknet50.yaml")
    binary = tmp_path / "weights.ckpt"
    binary.write_bytes(bytes(range(256)))
    for path, message in (
        (tmp_path / "sknet5.yaml", "no such file. Did you mean 'sknet50.yaml'"),
        (tmp_path / "nowhere" / "a.yaml", "no such file"),
        (tmp_path, "cannot be read"),
        (binary, "is not a text file"),
        ("", "'': no such file"),
        ("a\0b", "is not valid"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            train("-c", str(path))
        assert "\n" not in str(error.value)


def test_illegal_and_unknown_inherited_values_name_their_origin():
    with pytest.raises(ValueError, match=r"a\.ckpt: lr: -1 is not a number"):
        train().inherit({"lr": -1}, "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt: unknown key 'lrr'"):
        train().inherit({"lrr": 1}, "a.ckpt")


def test_inherited_values_may_be_python_values():
    kept = {"lr": 0.5, "scale": [0.5, 1], "pretrained": True, "num_samples": None, "batch_size": 3, "color_jitter": 0.0}
    cfg = train(CIFAR).inherit(kept).to_dict()
    assert {key: cfg[key] for key in kept} == {**kept, "scale": (0.5, 1.0)}


@pytest.mark.parametrize(
    ("argv", "notice"),
    [
        (["--random_crop_padding=4", "--scale=0.5,1"], "scale has no effect with random_crop_padding=4"),
        (["--clip_value=1"], "clip_value has no effect with clip_grad=false"),
        (["--decay_rate=0.5"], "decay_rate has no effect with scheduler=cosine_decay"),
        (["--betas=0.5,0.5"], "betas has no effect with opt=momentum"),
        (["--warmup_epochs=2", "--scheduler=multi_step_decay"], "count from the start of training"),
    ],
)
def test_a_flag_without_effect_gives_a_notice(argv, notice):
    assert [notice in line for line in train(*argv, CIFAR).notices] == [True]
