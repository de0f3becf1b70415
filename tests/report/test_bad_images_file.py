"""The list of skipped images."""

import csv

from mindcv.report import BadImagesFile


class FakeLoader:
    def __init__(self, **bad_images):
        self.bad_images = bad_images


def test_the_list_exists_only_for_bad_images_and_has_each_once(tmp_path):
    path = tmp_path / "bad_images.csv"
    train, validation = FakeLoader(), FakeLoader()
    file = BadImagesFile(path, train, validation)
    file.on_epoch_end(None)
    assert not path.exists() and len(file) == 0
    train.bad_images["a.jpg"] = "cut, or broken"
    file.on_epoch_end(None)
    validation.bad_images["b.jpg"] = "empty"
    file.update()
    resumed = BadImagesFile(path, FakeLoader(**{"a.jpg": "cut"}), None)
    resumed.update()
    with path.open(newline="") as lines:
        assert [tuple(row) for row in csv.reader(lines)] == [
            ("image", "reason"),
            ("a.jpg", "cut, or broken"),
            ("b.jpg", "empty"),
        ]
    assert len(resumed) == 2


def test_a_list_that_cannot_be_written_is_a_warning_and_written_later(tmp_path, capsys):
    path = tmp_path / "out" / "bad_images.csv"
    file = BadImagesFile(path, FakeLoader(**{"a.jpg": "cut"}))
    file.update()
    assert f"warning: could not write {path}: No such file or directory" in capsys.readouterr().out
    path.parent.mkdir()
    file.update()
    assert "a.jpg,cut" in path.read_text()
