"""tools/check_model.py: the entries that a new network needs, and that every recipe has them."""

import pytest
from check_model import ROOT, main, missing, missing_for_recipe, recipes, remarks

RECIPE = """# A tiny network.
#
# Source:   chosen here, to be
#           fast
# Command:  python train.py -c configs/tiny/tiny_digits.yaml
# Expect:   about 12.5 % top-1
# Measured: no
model: tiny_sknet
"""
RECIPE_ROW = "| [tiny_digits](tiny/tiny_digits.yaml) | chosen here, to be fast | 12.5 | no |"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "README.md").write_text("| Model | Parameters |\n|---|---|\n")
    (tmp_path / "configs" / "tiny").mkdir(parents=True)
    (tmp_path / "configs" / "README.md").write_text("| Recipe |\n|---|\n")
    (tmp_path / "configs" / "base_tiny.yaml").write_text("model: tiny_sknet\n")
    (tmp_path / "configs" / "tiny" / "tiny_digits.yaml").write_text(RECIPE)
    return tmp_path


pynative = pytest.mark.parametrize("mode", ["pynative"], indirect=True)


@pynative
def test_with_the_printed_rows_nothing_is_missing(mode, tiny_model, root):
    in_readme, in_configs = missing(tiny_model, root)
    assert in_readme.startswith("README.md, Models, has no row for tiny_sknet.")
    assert in_readme.endswith(" | no published weights |")
    assert in_configs == f"configs/README.md has no row for tiny/tiny_digits.yaml. The row:\n{RECIPE_ROW}"
    for place, text in (("README.md", in_readme), ("configs/README.md", in_configs)):
        with (root / place).open("a") as file:
            file.write(text.splitlines()[-1] + "\n")
    assert missing(tiny_model, root) == []


@pynative
def test_a_row_with_other_numbers_is_missing(mode, root):
    (root / "README.md").write_text("| `skresnet18` | 11,958,057 | 1.814 G | |\n")
    assert missing("skresnet18", root) == [
        "README.md, Models, says 11,958,057 and 1.814 G for skresnet18. The row:\n"
        "| `skresnet18` | 11,958,056 | 1.814 G | 73.02 / 91.17 (timm `ra_in1k`) |"
    ]


def test_a_recipe_needs_every_line_of_the_header(root):
    path = root / "configs" / "tiny" / "tiny_digits.yaml"
    path.write_text(RECIPE.replace("# Source:   chosen here, to be\n#           fast\n", ""))
    (root / "configs" / "README.md").write_text(RECIPE_ROW)
    assert [*missing_for_recipe(path, root)] == [
        "configs/tiny/tiny_digits.yaml, the comment at its head, has no line for Source:\n# Source:"
    ]


@pytest.mark.parametrize("path", recipes(), ids=lambda path: path.stem)
def test_every_recipe_has_its_header_and_its_row(path):
    assert [*missing_for_recipe(path, ROOT)] == []


def test_missing_optional_entries_are_remarks(tiny_model):
    assert [text.split(":")[0].split(",")[0] for text in remarks(tiny_model)] == [
        "No recipe in configs/ trains it.",
        "It is not compared with timm",
        "No published weights are in mindcv/weights/catalog.csv",
    ]
    assert remarks("resnet18") == ["No recipe in configs/ trains it."]
    assert remarks("sknet50") == []


@pynative
def test_a_complete_network_is_reported_as_complete(mode, capsys):
    assert main(["sknet26"]) == 0
    assert capsys.readouterr().out.endswith("\n\nNothing is missing for sknet26.\n")


@pynative
def test_an_incomplete_network_gives_exit_code_1(mode, tiny_model, capsys):
    assert main([tiny_model]) == 1
    assert "README.md, Models, has no row for tiny_sknet" in capsys.readouterr().out


def test_an_unregistered_name_suggests_the_nearest(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["sknet5O"])
    assert "Did you mean 'sknet50'" in capsys.readouterr().err
