"""Reading any image file gives pixels or a reason: the process does not crash, hang or print warnings."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import programs

COUNT = 600 * int(os.environ.get("MINDCV_FUZZ", "1"))
SEED = 2 if COUNT == 600 else int.from_bytes(os.urandom(4), "big")
ROOT = Path(__file__).parents[2]


def test_damaged_image_files_give_pixels_or_a_reason(tmp_path):
    ended = subprocess.run(
        programs.command("image_mutations", tmp_path, SEED, COUNT),
        cwd=tmp_path,
        env=os.environ | programs.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60 + COUNT,
    )
    words = [text.split() for text in ended.stdout.splitlines()]
    assert ended.returncode == 0, f"seed {SEED}, died at {words[-1:]}: {ended.stderr[-2000:]}"
    assert not re.search(r"\w+Warning:|Traceback", ended.stderr)  # C libraries do complain there
    outcomes = Counter((fmt, outcome) for kind, _, *rest in words if kind == "END" for fmt, outcome in [rest])
    assert sum(outcomes.values()) == COUNT
    print("\n".join(f"{fmt} {outcome}: {number}" for (fmt, outcome), number in sorted(outcomes.items())))  # with -s
    for fmt in ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"):
        assert outcomes[fmt, "pixels"] and outcomes[fmt, "refused"]
    assert outcomes["PNG", "undecodable"]  # damage that only the loader can find was among them
    assert os.listdir(tmp_path) == ["damaged"]
