"""The picture of a schedule, and train.py --plot_schedule."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from script_runs import fails, small_run

import train
from mindcv.report import plot_schedule
from mindcv.scheduler import create_scheduler

WITHOUT = {"warmup": (0, 0), "cool-down": (9, 9)}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    save = Figure.savefig

    def record(figure, *args, **options):
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return figures


def draw(path, drawn, *args, title="", phases=WITHOUT, **options):
    rates = create_scheduler(*args, lr=0.5, updates_per_epoch=3, **options)
    plot_schedule(path, rates, 3, title=title, phases=phases)
    return rates, drawn[-1].axes[0]


def test_the_curve_is_that_of_the_rates_over_epochs(tmp_path, drawn):
    path = tmp_path / "a.png"
    phases = {"warmup": (0, 1.5), "cool-down": (7, 9)}
    rates, axes = draw(path, drawn, "cosine_decay", epochs=9, warmup_epochs=1.5, title="cosine", phases=phases)
    (line,) = axes.get_lines()
    assert list(line.get_ydata()) == [*rates, rates[-1]]
    assert list(line.get_xdata()) == pytest.approx([i / 3 for i in range(28)])
    assert (axes.get_title(), axes.get_ylabel(), axes.get_xlabel()) == (
        *("cosine", "learning rate"),
        "epoch (3 updates each)",
    )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "warmup: epoch 0 to 1.5",
        "cool-down: epoch 7 to 9",
    ]
    assert (axes.get_yscale(), axes.get_xlim(), axes.get_ylim()[0]) == ("linear", (0, 9), 0)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (960, 540)
        assert len(np.unique(np.asarray(picture))) > 20
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "options, scale",
    [
        ({"scheduler": "exponential_decay", "epochs": 90}, "log"),
        ({"scheduler": "step_decay", "epochs": 9, "decay_epochs": 3}, "log"),
        ({"scheduler": "step_decay", "epochs": 9, "decay_epochs": 3, "decay_rate": 0.5}, "linear"),
        ({"scheduler": "cosine_decay", "epochs": 9}, "linear"),
        ({"scheduler": "cosine_decay", "epochs": 9, "decay_epochs": 2}, "linear"),  # 0 has no logarithm
        ({"scheduler": "constant", "epochs": 9}, "linear"),
    ],
)
def test_the_axis_is_logarithmic_if_the_rates_would_look_like_0(tmp_path, drawn, options, scale):
    _, axes = draw(tmp_path / "a.png", drawn, **options)
    assert axes.get_yscale() == scale and axes.get_legend() is None


def test_a_long_run_is_drawn_with_fewer_points(tmp_path, drawn):
    _, axes = draw(tmp_path / "a.png", drawn, "one_cycle", epochs=30_001)
    (line,) = axes.get_lines()
    assert 20_000 < len(line.get_xdata()) < 30_000 and line.get_xdata()[-1] == 30_001


def test_train_draws_the_runs_own_updates_and_ends(tmp_path, tiny_model, drawn, capsys):
    path, out = tmp_path / "lr.png", tmp_path / "out"
    line = small_run(out, "--epoch_size=3", "--warmup_steps=2", "--warmup_epochs=0", "--gradient_accumulation_steps=2")
    assert train.main([*line, f"--plot_schedule={path}"]) == 0
    assert f"the learning rate of 3 epochs is drawn in {path}" in capsys.readouterr().out
    (axes,) = drawn[0].axes
    assert path.exists() and not out.exists()
    # 70 images in batches of 16, two of which make an update
    expected = create_scheduler("cosine_decay", lr=0.05, epochs=3, updates_per_epoch=2, warmup_steps=2)
    assert list(axes.get_lines()[0].get_ydata()) == [*expected, expected[-1]]
    assert axes.get_title() == "cosine_decay, lr=0.05, 3 epochs"
    assert axes.get_legend().get_texts()[0].get_text() == "warmup: epoch 0 to 1"


def test_the_picture_is_a_png(tmp_path, capsys):
    message = fails(train.main, [f"--plot_schedule={tmp_path / 'lr.pdf'}"], capsys)
    assert "must be a file named *.png" in message
