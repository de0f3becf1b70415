"""The benchmark table of the README."""

from pathlib import Path

import pytest

from mindcv.benchmark import check_place, replace_row

ROOT = Path(__file__).parents[2]
README = """# Title

| CPU | elsewhere |

<!-- table: devices -->
| Device | Top-1 |
|---|---|
| Ascend | not measured |
| CPU | 1 |

- Ascend: not measured.
- CPU: old.
<!-- end of table -->

after
"""


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(README)
    return path


def test_a_device_replaces_its_own_row_and_note_and_nothing_else(readme):
    for _ in range(2):  # the second time changes nothing
        replace_row(readme, "| CPU | 2 |", "CPU: new.")
        assert readme.read_text() == README.replace("| CPU | 1 |", "| CPU | 2 |").replace("- CPU: old.", "- CPU: new.")


def test_a_device_without_a_row_is_added(readme):
    replace_row(readme, "| GPU | 3 |", "GPU: first.")
    expected = README.replace("| CPU | 1 |", "| CPU | 1 |\n| GPU | 3 |").replace("old.\n", "old.\n- GPU: first.\n")
    assert readme.read_text() == expected


@pytest.mark.parametrize("text", ["# Title\n", README.replace("<!-- end of table -->\n", ""), README * 2])
def test_a_readme_without_one_place_is_an_error_and_stays(readme, text):
    readme.write_text(text)
    with pytest.raises(ValueError, match=r"one table between <!-- table: devices --> and"):
        replace_row(readme, "| CPU | 2 |", "CPU: new.")
    assert readme.read_text() == text


def test_the_repositorys_readme_has_the_place_with_a_row_and_a_note_for_each_device():
    check_place(ROOT / "README.md")
    table = (ROOT / "README.md").read_text().split("<!-- table: devices -->")[1].split("<!-- end of table -->")[0]
    for device in ("Ascend", "GPU", "CPU"):
        assert table.count(f"\n| {device} |") == table.count(f"\n- {device}:") == 1
