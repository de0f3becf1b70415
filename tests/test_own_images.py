"""One's own images in a file: every script that reads a data set takes them as it takes folders."""

import tarfile

import fixtures_data
import pytest
from mindspore.mindrecord import FileWriter
from script_runs import fails, small_run
from tiers import slow

import train
import validate
from mindcv.checkpoint import read_checkpoint


def line(*extra) -> list[str]:
    usual = {"mode": 1, "num_samples": "none", "batch_size": 8, "epoch_size": 1}
    usual |= dict(word.removeprefix("--").partition("=")[::2] for word in extra)
    return small_run("out", *(f"--{key}={value}".rstrip("=") for key, value in usual.items()))


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """`birds/all.csv`, which lists 20 images of each of two classes."""
    monkeypatch.chdir(tmp_path)
    fixtures_data.write_image_folder(tmp_path, "birds", ["wren", "tit"], 20)
    lines = [f"{name}/{number:03d}.png,{name}" for number in range(20) for name in ("wren", "tit")]
    (tmp_path / "birds" / "all.csv").write_text("\n".join(["image,label", *lines]))
    return tmp_path / "birds"


def pack(birds, kind) -> str:
    """Write the images of `birds/all.csv` as a file of this kind; return its path."""
    path = f"birds/all.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as tar:
            tar.add("birds/wren", "wren")
            tar.add("birds/tit", "tit")
    if kind == "mindrecord":
        writer = FileWriter(path)
        writer.add_schema({"image": {"type": "bytes"}, "label": {"type": "string"}})
        paths = sorted(birds.glob("*/*.png"))
        writer.write_raw_data([{"image": file.read_bytes(), "label": file.parent.name} for file in paths])
        writer.commit()
    return path


@pytest.mark.parametrize(
    ("kind", "named"),
    [("csv", "list of images"), slow("tar", "archive"), slow("mindrecord", "MindRecord file")],
)
def test_a_file_trains_and_its_checkpoint_validates_on_the_held_out_images(kind, named, birds, tiny_model, capsys):
    path = pack(birds, kind)
    train.main(line(f"--data_dir={path}", "--sampler=balanced"))
    told = capsys.readouterr().out
    assert f"no --dataset given: the {named} {path} (dataset 'all')" in told
    assert "32 images to train, 8 held out to validate" in told
    checkpoint = read_checkpoint("out/tiny_sknet-last.ckpt")
    assert checkpoint.info["class_names"] == ["tit", "wren"]
    result = validate.main(["--ckpt_path=out/tiny_sknet-last.ckpt", "--seed=7"])
    assert (result.num_examples, result.top1) == (8, checkpoint.info["metrics"]["top1"])
    train.main(line("--epoch_size=2", "--resume"))
    assert read_checkpoint("out/tiny_sknet-last.ckpt").info["epoch"] == 2


def test_check_data_reads_a_list_and_reports_an_unknown_class(birds, monkeypatch, capsys):
    assert validate.main(["--check_data", "--data_dir=birds/all.csv"]) == 0
    assert "val: 8 images, 0 bad" in capsys.readouterr().out
    (birds / "all.csv").rename(birds / "train.csv")
    (birds / "val.csv").write_text("image,label\nwren/000.png,wrren\n")
    (birds / "wren" / "001.png").write_bytes(b"no image")
    assert validate.main(["--check_data", "--data_dir=birds"]) == 1
    told = capsys.readouterr().out
    assert "does not know: 'wrren'. Did you mean 'wren'?" in told and "train: 40 images, 1 bad" in told


def test_an_error_in_a_list_ends_a_training_before_anything_is_written(birds, tiny_model, capsys):
    (birds / "all.csv").write_text("path,class\n")
    assert "found 'path', 'class'" in fails(train.main, line("--data_dir=birds/all.csv"), capsys)
    assert not (birds.parent / "out").exists()


def test_images_with_several_labels_can_be_checked_and_need_a_loss_for_them(birds, tiny_model, capsys):
    path = birds / "all.csv"
    path.write_text(path.read_text().replace("wren\n", "wren;odd\n"))
    assert validate.main(["--check_data", "--data_dir=birds/all.csv"]) == 0
    assert "is for one label per image, but data set 'all' has several" in fails(
        train.main, line("--data_dir=birds/all.csv"), capsys
    )
