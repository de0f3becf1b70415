"""Recipes and command lines that would exhaust the machine or execute code: a short error at once."""

import pytest
from fuzzing import refusal, time_limit

from config import load_config


def load(argv):
    return refusal(lambda: load_config(argv, prog="train"))


def load_bytes(folder, content):
    path = folder / "fuzz.yaml"
    path.write_bytes(content)
    return load(["-c", str(path)])


@pytest.mark.parametrize(
    "content",
    {
        "brackets": b"[" * 10_000_000,
        "brackets within the size limit": b"[" * 199_000,
        "a long list": b"scale: [" + b"1," * 90_000 + b"]",
        "a long word": b"data_dirr: " + b"x" * 190_000,
        "a long key": b"? " + b"k" * 190_000 + b"\n: 1",
        "a long alias": b"a: *" + b"k" * 190_000,
        "a long number": b"seed: " + b"9" * 190_000,
        "blanks": b'scale: "0.1' + b" " * 190_000 + b'x"',
        "a staircase": b"".join(b" " * step + b"a:\n" for step in range(600)),
        "a billion laughs": b"a0: &a0 [x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 60)),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_bomb_is_an_error_within_seconds(tmp_path, content):
    with time_limit(20):
        cfg, message = load_bytes(tmp_path, content[1])
    assert cfg is None
    assert "fuzz.yaml" in message


def test_an_endless_recipe_is_an_error():
    with time_limit(5), pytest.raises(ValueError, match="too large for a recipe: more than 200,000 characters"):
        load_config(["-c", "/dev/zero"], prog="train")


@pytest.mark.parametrize("shape", ["deep", "wide", "doubling"])
def test_too_many_bases_are_an_error(tmp_path, shape):
    for number in range(100):
        bases = {"deep": [number + 1], "wide": [100] * 60, "doubling": [number + 1, number + 1]}[shape]
        (tmp_path / f"{number}.yaml").write_text("base: [" + ", ".join(f"{base}.yaml" for base in bases) + "]")
    (tmp_path / "100.yaml").write_text("seed: 7")
    with time_limit(5), pytest.raises(ValueError, match=r"0\.yaml: base: builds on more than 50 files"):
        load_config(["-c", str(tmp_path / "0.yaml")], prog="train")
    cfg = load_config(["-c", str(tmp_path / "99.yaml")], prog="train") if shape == "deep" else None
    assert cfg is None or cfg.runtime.seed == 7


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{victim}]",
        "average: !!python/object/apply:os.mkdir [{victim}]",
        "average: [!!python/object/apply:os.mkdir [{victim}]]",
        "!!python/object/apply:os.mkdir [{victim}]: 1",
        "data_dir: !!python/name:os.mkdir {victim}",
        "data_dir: !!python/object/new:os.mkdir {victim}",
        "!!python/object/new:dict {{lr: 0.1}}",
        "--- !!set {{lr, seed}}",
        "!!omap [lr: 0.1]",
        "average: !!set {{a}}",
        "data_dir: !!binary YQ==",
        "%TAG ! tag:yaml.org,2002:python/\n---\naverage: !object/apply:os.mkdir [{victim}]",
    ],
)
def test_a_tag_is_an_error_and_creates_nothing(tmp_path, text):
    victim = tmp_path / "victim"
    cfg, message = load_bytes(tmp_path, text.format(victim=victim).encode())
    assert cfg is None
    assert "expected a plain value" in message or "must hold lines of the form key: value" in message
    assert not victim.exists()


def test_a_message_about_a_long_name_is_short(tmp_path):
    long = "x" * 100_000
    for argv in (
        [f"--{long}"],
        [f"-{long}"],
        [long],
        [f"--lr={long}"],
        ["-c", long],
        ["-c", f"{long}/{long}"],
        ["-c", "a", "-c", long],
        [f"--data_dir={long}", f"--data_dir=y{long}"],
        [f"--ckpt_path={long}", "--pretrained"],
        ["--mean=" + "0.1," * 10_000],
    ):
        cfg, message = load(argv)
        assert cfg is None
        assert len(message) < 1000
    _, message = load_bytes(tmp_path, b"base: " + long.encode())
    assert len(message) < 1000
