"""The list of skipped images."""

import csv

from mindcv.distributed import World
from mindcv.report import BadImagesFile


class FakeLoader:
    def __init__(self, **bad_images):
        self.bad_images = bad_images


def test_the_list_exists_only_for_bad_images_and_has_each_once(tmp_path):
    path = tmp_path / "bad_images.csv"
    train, validation = FakeLoader(), FakeLoader()
    file = BadImagesFile(path.parent, train, validation)
    file.on_epoch_end(None)
    assert not path.exists() and len(file) == 0
    train.bad_images["a.jpg"] = "cut, or broken"
    file.on_epoch_end(None)
    validation.bad_images["b.jpg"] = "empty"
    file.update()
    resumed = BadImagesFile(path.parent, FakeLoader(**{"a.jpg": "cut"}), None)
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
    file = BadImagesFile(path.parent, FakeLoader(**{"a.jpg": "cut"}))
    file.update()
    assert f"warning: could not write {path}: No such file or directory" in capsys.readouterr().out
    path.parent.mkdir()
    file.update()
    assert "a.jpg,cut" in path.read_text()


def test_the_main_process_ends_with_one_list_of_what_all_have_skipped(tmp_path):
    (tmp_path / "bad_images-7.csv").write_text("image,reason\nearlier.jpg,cut\n")
    main = BadImagesFile(tmp_path, FakeLoader(**{"both.jpg": "cut"}), world=World(0, 2))
    other = BadImagesFile(tmp_path, FakeLoader(**{"both.jpg": "cut", "other.jpg": "empty"}), world=World(1, 2))
    for file in (main, other):
        file.update()
    assert {path.name for path in tmp_path.iterdir()} == {f"bad_images{rank}.csv" for rank in ("", "-1", "-7")}
    main.merge()
    assert [path.name for path in tmp_path.iterdir()] == ["bad_images.csv"] and len(main) == 3
    with (tmp_path / "bad_images.csv").open(newline="") as lines:
        assert {row["image"] for row in csv.DictReader(lines)} == {"both.jpg", "other.jpg", "earlier.jpg"}


def test_a_merge_that_cannot_be_written_keeps_the_other_lists(tmp_path, monkeypatch, capsys):
    (tmp_path / "bad_images-1.csv").write_text("image,reason\na.jpg,cut\n")
    main = BadImagesFile(tmp_path, world=World(0, 2))

    def fail(path, bad):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mindcv.report.bad_images.write_bad_images", fail)
    main.merge()
    assert "could not write" in capsys.readouterr().out and (tmp_path / "bad_images-1.csv").exists()
