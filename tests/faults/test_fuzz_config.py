"""Any YAML file and any command line gives a Config with every value, or a one-sentence error."""

import math
from pathlib import Path
from types import NoneType
from typing import get_args, get_origin

import yaml
from fuzzing import fuzz, refusal
from hypothesis import given, reject
from hypothesis import strategies as st

import config
from config import OPTIONS, SCRIPTS, load_config
from mindcv.optim.factory import takes_betas
from mindcv.options.option import FALSE, NONE, TRUE

ROOT = Path(config.__file__).parent
RECIPES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "configs").rglob("*.yaml"))]


def load(argv, prog="train"):
    """Return (Config, None) or (None, message); printing and exiting with code 0 is right only for help."""
    try:
        return refusal(lambda: load_config(argv, prog=prog))
    except SystemExit as end:
        assert end.code == 0
        assert {word.partition("=")[0] for word in argv} & {"-h", "--help", "--version"}
        return None, "answered"


def load_bytes(folder, content, prog="train"):
    path = folder / "fuzz.yaml"
    path.write_bytes(content)
    return load(["-c", str(path)], prog)


# Anything at all

words = st.sampled_from(
    [*config.ALL_NAMES, "base", "config", "help", "version", "c", "h", "no_shuffle", "<<", "=", "true", "none", "x"]
)
VALUES = ["1", "0.5", "-1", "1e999", "nan", "010", "1:30", "2024-01-01", "0x10", "1_0", "yes", "none", "[", "(1,2)"]
VALUES += ["0.1,1", "O2", "adamw", "cosine_decay", "O0", "off"]
texts = st.text(st.characters(exclude_characters="\n"), max_size=20) | st.sampled_from(
    [*VALUES, "", "[0.1, 1]", "9" * 5000, "1" * 400, "a\0b", "\ufeff", "\udcff", "\uff11\uff12"]
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=9) | st.dates()
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | texts, inner, max_size=4), max_leaves=12
)
TAGS = ["!!python/object/apply:os.mkdir ", "!!binary ", "!!set ", "!!omap ", "! ", "!x ", "%YAML 1.1\n"]
marks = st.sampled_from(
    [*TAGS, "&a ", "*a", "--- ", "...\n", ">\n ", "\t", "\r\n", "\x85", "\u2028", ": ", *"[]{}'\"#?-|\n"]
)
yaml_texts = (
    st.lists(words | texts | marks, max_size=12).map("".join)
    | st.lists(st.builds("{}{}{}".format, words, st.sampled_from([": ", ":", "\n: "]), texts | marks)).map("\n".join)
    | st.dictionaries(words, nested, max_size=6).map(lambda tree: yaml.safe_dump(tree, allow_unicode=True))
    | nested.map(yaml.safe_dump)
)


@fuzz(400)
@given(yaml_texts, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"]), st.sampled_from(SCRIPTS))
def test_any_yaml_gives_a_config_or_an_error(tmp_path, text, encoding, prog):
    errors = "replace" if encoding == "latin-1" else "surrogatepass"
    load_bytes(tmp_path, text.encode(encoding, errors), prog)


@fuzz(200)
@given(
    st.binary(max_size=200)
    | st.tuples(st.binary(max_size=9), yaml_texts).map(lambda p: p[0] + p[1].encode("utf-8", "surrogatepass"))
)
def test_any_bytes_give_a_config_or_an_error(tmp_path, content):
    load_bytes(tmp_path, content)


tokens = (
    st.builds(
        "{}{}{}{}".format, st.sampled_from(["", "-", "--", "--no-", "---"]), words, st.sampled_from(["", "="]), texts
    )
    | texts
    | st.text(max_size=3)
).filter(lambda token: not token.replace("-", "_").startswith("__list_models"))  # imports MindSpore


@fuzz(500)
@given(argv=st.lists(tokens, max_size=7), prog=st.sampled_from(SCRIPTS))
def test_any_command_line_gives_a_config_or_an_error(argv, prog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    load(argv, prog)
    capsys.readouterr()


# Every value is kept


def spell(option, value, draw):
    """Draw one of the spellings of a legal value."""
    if isinstance(value, bool):
        return draw(st.sampled_from(sorted(TRUE if value else FALSE))).upper()
    if value is None:
        return draw(st.sampled_from(["none", "null", "None", "~"]))
    if isinstance(value, tuple):
        if option.takes_words:
            return value[0]
        comma = draw(st.sampled_from([",", ", ", " "]))
        opening, closing = draw(st.sampled_from(["  ", "[]", "()"]))
        return f"{opening}{comma.join(spell(option, part, draw) for part in value)}{closing}".strip()
    if option.choices and isinstance(value, str):
        return draw(st.sampled_from([value, value.upper(), f" {value} "]))
    return value if isinstance(value, str) else repr(value)


def legal(option, kind=None):
    """Return a strategy for legal values, from the option's declaration."""
    if option.choices:
        return st.sampled_from(option.choices)
    if kind is None:
        return st.one_of([legal(option, kind) for kind in option.kinds])
    if kind is NoneType:
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is int:
        low = option.minimum if option.minimum is not None else option.above + 1 if option.above is not None else None
        return st.integers(low, 10**15 - 1 if option.maximum is None else option.maximum)
    if kind is float:
        low = option.above if option.minimum is None else option.minimum
        high = option.below if option.maximum is None else option.maximum
        bounds = {"exclude_min": option.above is not None, "exclude_max": option.below is not None}
        return st.floats(low, high, allow_nan=False, allow_infinity=False, **bounds)
    if kind is str:
        if option.words:
            return st.sampled_from(option.words)
        other = {*(NONE if NoneType in option.kinds else ()), *(TRUE | FALSE if bool in option.kinds else ())}
        text = st.text(st.characters(exclude_characters="\0"), min_size=option.default != "", max_size=30)
        return text.filter(lambda t: t.strip().lower() not in other and not (option.is_path and t[:1] == "~"))
    assert get_origin(kind) is tuple
    (item,) = {*get_args(kind)} - {...}
    items = st.text("abc./-_\xe9\u732b ,[", min_size=1, max_size=8) if item is str else legal(option, item)
    if option.takes_words:  # as one text: several are several words, which tests/test_command_line.py writes
        return items.filter(lambda t: t.strip()).map(lambda text: (text,))
    sizes = st.sampled_from(option.sizes) if option.sizes else st.integers(1, 4)
    unique = option.ordered is not None and not option.ordered(1, 1)
    lists = sizes.flatmap(lambda n: st.lists(items, min_size=n, max_size=n, unique=unique))
    return lists.map(lambda values: tuple(sorted(values) if option.ordered else values))


@st.composite
def legal_settings(draw, prog="train"):
    """Key -> legal value, without the contradictions that are errors in load_config."""
    names = [name for name, option in OPTIONS.items() if prog in option.scripts]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=12))
    values = {name: draw(legal(OPTIONS[name])) for name in chosen}
    channels = values.get("in_channels", 3)
    for key in ("mean", "std"):
        if key in values:
            values[key] = (values[key] * 3)[:channels]
    if values.get("pretrained"):
        values.pop("ckpt_path", None)
    if values.get("num_parallel_workers"):
        values["num_parallel_workers"] = 1  # more may be more than the cores
    if prog == "train":
        values["warmup_epochs"] = (
            0 if values.get("warmup_epochs", 0) >= values.get("epoch_size", 90) else values.get("warmup_epochs", 0)
        )
        if values.get("lr_base"):
            values["lr_base"] = min(max(values["lr_base"], 1e-3), 1e3)  # lr must be neither 0 nor infinite
        values["min_lr"] = min(values.get("min_lr", 0.0), values.get("lr", 0.01))
        if values.get("scheduler") == "step_decay" and values.get("decay_epochs") is None:
            values["decay_epochs"] = 3
        values.pop("resume_opt", None)  # with ckpt_path it would mean a resume
        if values.get("opt", "momentum") not in ("sgd", "momentum") or values.get("momentum", 0.9) == 0:
            values.pop("use_nesterov", None)
        if not takes_betas(values.get("opt", "momentum"), values.get("betas")):
            values.pop("betas")
    values.setdefault("dataset", "cifar10")  # not digits, for which there is a preset
    return {key: value for key, value in values.items() if prog in OPTIONS[key].scripts}


def only_if_together(message):
    """Check that legal values are an error only for contradicting each other."""
    if message:
        assert not any(f"{name}: " in message and option.legal in message for name, option in OPTIONS.items()), message
        reject()


def quoted(text):
    """Return a YAML scalar for any text."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


def entry(key, text):
    return f"{key}: {quoted(text)}"


def must_hold(cfg, key, text, where):
    """Check that `text`, given for `key`, is in the Config, or a notice says why not."""
    if key in ("resume_opt", "ckpt_path") and cfg.given("resume_opt") and cfg.train.resume:
        return  # the two together are a resume of ckpt_path
    if key in OPTIONS:
        got, expected = cfg.to_dict()[key], OPTIONS[key].parse(text, where)
        assert (got, type(got)) == (expected, type(expected)) or any(key in notice for notice in cfg.notices), key
        assert cfg.given(key) and where in cfg.sources[key]
    elif key in config.WITHOUT_EFFECT:
        assert any(key in notice for notice in cfg.notices), key
    else:
        off = config.UNAVAILABLE[key][0]
        assert text.strip().lower() in {str(value).lower() for value in off} or is_off(text, off), (key, text)


def is_off(text, off):
    word = text.strip().lower()
    if None in off:
        return word in NONE
    if isinstance(off[0], bool):
        return word in FALSE
    return (not isinstance(off[0], str) and math.isclose(float(word), off[0])) or float(word) in off


@fuzz(250)
@given(st.data())
def test_every_legal_value_is_read_in_any_spelling_and_the_command_line_wins(tmp_path, data):
    prog = data.draw(st.sampled_from(SCRIPTS))
    values = data.draw(legal_settings("train"))
    on_line = [key for key in values if prog in OPTIONS[key].scripts and data.draw(st.booleans())]
    elsewhere = {key: value for key, value in values.items() if key not in on_line}
    overridden = {key: data.draw(legal(OPTIONS[key])) for key in on_line if data.draw(st.booleans())}
    in_base = {key for key in elsewhere if data.draw(st.booleans())}

    def lines(some):
        return "\n".join(entry(key, spell(OPTIONS[key], value, data.draw)) for key, value in some.items())

    (tmp_path / "base.yaml").write_text(lines({key: elsewhere[key] for key in in_base} | overridden))
    rest = {key: value for key, value in elsewhere.items() if key not in in_base}
    (tmp_path / "fuzz.yaml").write_text(f"base: base.yaml\n{lines(rest)}")
    argv = [
        f"{data.draw(st.sampled_from(['', '--']))}{key}={spell(OPTIONS[key], values[key], data.draw)}"
        for key in on_line
    ]
    cfg, message = load(["-c", str(tmp_path / "fuzz.yaml"), *argv], prog)
    only_if_together(message)
    for key, value in values.items():
        got = cfg.to_dict()[key]
        gave_way = key not in on_line and any(f"{key}=" in notice and " way to " in notice for notice in cfg.notices)
        assert (got, type(got)) == (value, type(value)) or gave_way, key
        assert ("command line" in cfg.sources[key]) == (key in on_line)


@fuzz(400)
@given(
    st.dictionaries(st.sampled_from(config.ALL_NAMES), texts, max_size=3),
    st.dictionaries(st.sampled_from(config.ALL_NAMES), texts, max_size=2),
    st.sampled_from(["train", "train", *SCRIPTS]),
)
def test_any_text_value_is_in_the_config_or_an_error(tmp_path, in_file, on_line, prog):
    path = tmp_path / "fuzz.yaml"
    path.write_text(
        "dataset: cifar10\n" * ("dataset" not in in_file) + "\n".join(map(entry, in_file, in_file.values()))
    )
    argv = [f"--{key}={text}" for key, text in on_line.items()]
    cfg, _ = load(["-c", str(path), *argv], prog)
    if cfg is None:
        return
    for key, text in on_line.items():
        must_hold(cfg, key, text, "command line")
    for key, text in in_file.items():
        concerns = prog == "train" or key in OPTIONS or key.startswith(("val_", "eval_"))
        if key not in on_line and concerns:
            must_hold(cfg, key, text, "fuzz.yaml")


@fuzz(300)
@given(st.data())
def test_a_changed_recipe_is_read_exactly_or_an_error(tmp_path, data):
    lines = data.draw(st.sampled_from(RECIPES)).splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith("#")]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        column = data.draw(st.integers(0, len(line)))
        lines[place : place + 1] = data.draw(
            st.sampled_from(
                [
                    [],
                    [line, line],
                    [line[:column]],
                    [line[:column] + line[column + 1 :]],
                    [line[:column] + data.draw(texts | marks) + line[column:]],
                    [line.split(":")[0] + ": " + data.draw(texts) + "\n"],
                    [data.draw(st.sampled_from(lines)), line],
                ]
            )
        )
        lines = lines or ["\n"]
    for name in ("base_cifar.yaml", "base_imagenet.yaml"):
        (tmp_path / name).write_bytes((ROOT / "configs" / name).read_bytes())
    (tmp_path / "deep").mkdir(exist_ok=True)
    content = "".join(lines).encode("utf-8", "surrogatepass")
    cfg, message = load_bytes(tmp_path / "deep", content)
    if cfg is None:
        assert message
        return
    written = yaml.BaseLoader(content).get_single_data() or {}  # an independent reading: every scalar as text
    for key, value in written.items():
        key = key.replace("-", "_")
        if key != "base":
            text = ",".join(value) if isinstance(value, list) else value
            must_hold(cfg, key, text, "fuzz.yaml")


@fuzz(100)
@given(legal_settings())
def test_any_config_is_the_same_after_saving_and_loading(tmp_path, values):
    cfg, message = refusal(lambda: load_config(["dataset=cifar10"], prog="train").inherit(values))
    only_if_together(message)
    gave_way = {key for key in values for notice in cfg.notices if f"{key}=" in notice and " way to " in notice}
    assert {key: cfg.to_dict()[key] for key in values if key not in ("dataset", *gave_way)} == {
        key: value for key, value in values.items() if key not in ("dataset", *gave_way)
    }
    cfg.save(tmp_path / "saved.yaml")
    again = load_config(["-c", str(tmp_path / "saved.yaml")], prog="train")
    assert again == cfg


def test_mindcvs_resume_opt_with_ckpt_path_means_resume_also_after_saving(tmp_path):
    cfg = load_config(["dataset=cifar10", "--resume_opt", "--ckpt_path=run/a.ckpt"], prog="train")
    assert (cfg.train.resume, cfg.model.ckpt_path) == ("run/a.ckpt", "")
    assert not cfg.notices
    cfg.save(tmp_path / "saved.yaml")
    assert load_config(["-c", str(tmp_path / "saved.yaml")], prog="train") == cfg
