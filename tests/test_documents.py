"""The examples of docs/python.md run, each in a separate process and outside the checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHORTER = {"epochs = 3": "epochs = 1", '"digits", split': '"digits", num_samples=64, split'}
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "example",
    [text for text in EXAMPLES if "pretrained=True)  #" not in text and "checkpoint_path=" not in text],
    ids=["networks", "training"],
)
def test_the_python_examples_run(tmp_path, example):
    for text, shorter in SHORTER.items():
        example = example.replace(text, shorter)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", example]
    ended = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
