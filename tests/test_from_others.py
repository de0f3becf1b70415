"""The pages for those who come from MindCV and timm: their examples run, and the options that they name exist."""

import re
import runpy
from pathlib import Path

import mindspore as ms
import pytest
import tiny
from fixtures_data import write_cifar10

import config
from mindcv.models.factory import MODELS

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = re.findall(r"^```python\n# (MindCV|Here)\n(.*?)^```", (DOCS / "from_mindcv.md").read_text(), re.M | re.S)
# Smaller numbers and networks, in a test.
SHORTER = {"64": "8", "=2,\n": "=1,\n", "workers=2)": "workers=1)", '"skresnet18"': f'"{tiny.NAME}"'}


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=[f"{who} {n}" for n, (who, _) in enumerate(EXAMPLES)])
def test_the_examples_of_both_run(number, tmp_path, monkeypatch, tiny_model, capsys):
    _, example = EXAMPLES[number]
    monkeypatch.chdir(tmp_path)
    write_cifar10("data", 16, 8)
    if "create_dataset" in example:
        for text, shorter in SHORTER.items():
            example = example.replace(text, shorter)
    before = MODELS.names()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        Path("example.py").write_text(example)
        runpy.run_path("example.py")
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
        for name in {*MODELS.names()} - {*before}:
            MODELS._entries.pop(name)
    assert capsys.readouterr().out


def test_each_example_has_a_counterpart():
    assert [who for who, _ in EXAMPLES] == ["MindCV", "Here"] * 2


def test_the_options_beside_timms_flags_exist():
    rows = [line.split("|") for line in (DOCS / "from_timm.md").read_text().splitlines() if line.startswith("| `")]
    named = {flag for row in rows for flag in re.findall(r"`--(\w+)", row[2] + row[3])}
    lacking = named - config.OPTIONS.keys() - {"config"}
    assert not lacking, f"not options: {', '.join(sorted(lacking))}"
    assert all(row[2].strip() == "no" or re.search(r"`--\w+`", row[2]) for row in rows)
    assert all(row[3].strip() for row in rows if row[2].strip() == "no"), "each no has its reason"


def test_no_flag_of_timm_is_in_two_rows():
    rows = [line.split("|")[1] for line in (DOCS / "from_timm.md").read_text().splitlines() if line.startswith("| `")]
    flags = [flag for row in rows for flag in re.findall(r"`(-[\w-]+)`", row)]
    assert len(flags) == len(set(flags)) > 170
