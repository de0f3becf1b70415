"""The contact sheet: the pixels and labels of a training's own first batches."""

import numpy as np
import pytest
from PIL import Image
from script_runs import fails, small_run

import train
from mindcv.report import contact_sheet, write_contact_sheet

MEAN, STD = (100.0, 50.0, 25.0), (60.0, 30.0, 15.0)


def normalised(pixels):
    return ((pixels.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def contains(sheet, tile):
    height, width = tile.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (height, width, 3))[:, :, 0]
    corners = (windows[:, :, 0, 0] == tile[0, 0]).all(-1) & (windows[:, :, -1, -1] == tile[-1, -1]).all(-1)
    return any((windows[y, x] == tile).all() for y, x in np.argwhere(corners))


def test_images_are_denormalised_and_enlarged_by_whole_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)
    batch = (normalised(pixels), np.array([0, 1, 0], np.int32))
    write_contact_sheet(tmp_path / "a.png", [batch], 1, ["cat", "dog"], mean=MEAN, std=STD, title="two classes")
    sheet = opened(tmp_path / "a.png")
    for image in pixels:
        assert contains(sheet, image.repeat(3, 0).repeat(3, 1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """`drawn(batches)` gives the strips of a sheet: name, number of pictures, and labels."""
    names = ["cat", "dog", "Füße"]

    def draw(batches, **options):
        strips = []
        monkeypatch.setattr(contact_sheet, "_draw", lambda _, given: strips.extend(given) or Image.new("RGB", (1, 1)))
        write_contact_sheet(tmp_path / "a.png", batches, len(batches), names, mean=(0,), std=(1,), title="", **options)
        return [(name, len(pictures), labels) for name, pictures, labels in strips]

    return draw


def test_labels_have_names_and_weights(drawn):
    images = np.zeros((10, 1, 8, 8), np.float32)
    soft = np.array([[0.37, 0.63, 0], [0, 0, 1], [0.998, 0.002, 0]] * 4, np.float32)[:10]
    (_, eight, labels), (name, two, _) = drawn([(images, soft)])
    assert labels[:3] == [[("dog", " 0.63"), ("cat", " 0.37")], [("class 2", " 1.00")], [("cat", " 1.00")]]
    assert (eight, two, name) == (8, 2, "")
    hard = (images[:2], np.array([1, 2], np.int32))
    classes = [[("dog", "")], [("class 2", "")]]
    assert drawn([hard, hard]) == [("batch 1", 2, classes), ("batch 2", 2, classes)]
    views = (images[:6], np.arange(6) // 2 % 3)
    assert [name for name, *_ in drawn([views], splits=3)] == ["batch 1", "view 2", "view 3"]


def test_long_names_are_cut_and_further_classes_shown_as_dots():
    assert contact_sheet._cut("cat", 90) == "cat"
    cut = contact_sheet._cut("a class with quite a long name", 90)
    assert cut.endswith("...") and cut.startswith("a class") and contact_sheet._font().getlength(cut) <= 90


def test_show_augment_draws_the_batches_of_the_run_and_writes_nothing_else(tmp_path, monkeypatch, tiny_model, capsys):
    line = small_run(tmp_path / "ckpt", "--mixup=0.8", "--cutmix=1", "--re_prob=0.5", "--epoch_size=1")
    seen = []
    path = tmp_path / "seen.png"
    with monkeypatch.context() as patch:
        patch.setattr("draw.write_contact_sheet", lambda path, batches, *_, **__: seen.extend(batches) or 4)
        assert train.main([*line, f"--show_augment={path}"]) == 0
    assert train.main([*line, f"--show_augment={path}"]) == 0
    assert f"written to {path}: images of the first 4 of 4 training batches" in capsys.readouterr().out
    assert [*tmp_path.iterdir()] == [path] and opened(path).shape[1] > 8 * 96
    trained = []
    monkeypatch.setattr(
        "mindcv.engine.train_step.TrainStep.__call__",
        lambda self, images, labels: trained.append((images.asnumpy(), labels.asnumpy())) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        train.main(line)
    (images, labels), *_ = trained
    assert (images == seen[0][0]).all() and (labels == seen[0][1]).all() and labels.shape == (16, 10)


def test_a_place_that_cannot_be_written_is_an_error_before_anything_starts(tmp_path, capsys):
    assert "*.png; got 'a.jpg'" in fails(train.main, ["--show_augment=a.jpg"], capsys)
    assert "does not exist" in fails(train.main, [f"--show_augment={tmp_path / 'none' / 'a.png'}"], capsys)
