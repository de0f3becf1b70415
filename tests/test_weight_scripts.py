"""The scripts with weights of every origin: each reads each format, and reports its changes."""

import json
import re

import fixtures_data
import mindspore as ms
import numpy as np
import onnx
import pytest
import torch_format
from PIL import Image
from safetensors.numpy import save_file
from script_runs import fails, small_run
from tiers import full
from weight_lines import DIGITS, MODEL, SIZE, rows_of, timm_state

import convert
import export
import infer
import train
import validate
from mindcv.checkpoint import network_weights, read_checkpoint, save_checkpoint
from mindcv.models import create_model
from mindcv.weights import mindcv_names

FOREIGN = ("timm.safetensors", "timm.pth", "mindcv.ckpt")
FORMATS = ("own.ckpt", "timm.safetensors", "timm.pth", "mindcv.ckpt", "own.onnx", "own.mindir")


def network_of(num_classes=10, seed=3):
    """A resnet18 with distinct weights and statistics, so that every change to them shows."""
    network = create_model("resnet18", num_classes=num_classes)
    rng = np.random.default_rng(seed)
    for parameter in network.get_parameters():
        noise = rng.uniform(0.5, 1.5, parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(parameter.asnumpy() * noise + (0.05 * noise if parameter.ndim == 1 else 0)))
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network's weights in every format, by the names in FORMATS."""
    folder = tmp_path_factory.mktemp("files")
    network = network_of()
    weights = network_weights(network)
    image = {"model": "resnet18", "image_resize": SIZE, "crop_pct": 1.0}
    info = {"model": network.description, "config": image, "class_names": [str(k) for k in range(10)]}
    save_checkpoint(folder / "own.ckpt", weights, info)
    save_file(timm_state(weights), folder / "timm.safetensors")
    torch_format.write_pth(folder / "timm.pth", timm_state(weights))
    entries = [{"name": name, "data": ms.Tensor(weights[own])} for own, name in mindcv_names(weights).items()]
    ms.save_checkpoint(entries, str(folder / "mindcv.ckpt"))
    for suffix in ("onnx", "mindir"):
        export.main([f"--ckpt_path={folder / 'own.ckpt'}", f"--output={folder / f'own.{suffix}'}"])
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def measured(files):
    """The result of validate.py for each file, on the same digits."""
    return {name: validate.main([*DIGITS, f"--ckpt_path={files[name]}"]) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_validate_accepts_every_format_with_equal_results(measured, name):
    result, reference = measured[name], measured["own.ckpt"]
    assert result.num_examples == 60
    if name == "mindcv.ckpt":  # MindCV's network pools otherwise
        assert result.loss != reference.loss
    elif name in ("own.onnx", "own.mindir"):
        assert result.loss == pytest.approx(reference.loss, rel=1e-5) and result.top1 == reference.top1
    else:
        assert (result.loss, result.top1, result.top5) == (reference.loss, reference.top1, reference.top5)


@pytest.mark.parametrize("name", full(FORMATS, by_default=["timm.pth", "mindcv.ckpt", "own.onnx"]))
def test_infer_accepts_every_format_with_equal_results(files, photos, tmp_path, name, capsys):
    line = [*MODEL, "--crop_pct=1", f"--images={photos}", "--batch_size=4", "--num_parallel_workers=1"]
    for each, output in ((name, "this.csv"), ("own.ckpt", "reference.csv")):
        assert infer.main([*line, f"--ckpt_path={files[each]}", f"--output={tmp_path / output}", "--topk=2"]) == 0
    assert "6 of 6 images predicted" in capsys.readouterr().out
    rows, reference = (rows_of(tmp_path / f) for f in ("this.csv", "reference.csv"))
    assert len(rows) == 12 and [row["image"] for row in rows] == [row["image"] for row in reference]
    got, expected = ([float(row["probability"]) for row in table] for table in (rows, reference))
    if name == "mindcv.ckpt":
        assert not np.allclose(got, expected, rtol=1e-4)
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("name", FOREIGN)
def test_convert_imports_exactly_and_the_result_needs_no_flags(files, measured, tmp_path, name, capsys):
    output = tmp_path / "imported.ckpt"
    convert.main([*MODEL, "--crop_pct=1", f"--ckpt_path={files[name]}", f"--output={output}"])
    assert "resnet18" in capsys.readouterr().out
    imported, original = read_checkpoint(output), read_checkpoint(files["own.ckpt"])
    assert imported.weights.keys() == original.weights.keys()
    assert all(np.array_equal(imported.weights[key], array) for key, array in original.weights.items())
    assert imported.info["model"]["arch"] == ({"stem_pool": "same"} if name == "mindcv.ckpt" else {})
    result = validate.main([f"--ckpt_path={output}", *DIGITS[2:]])
    assert result.loss == measured[name].loss


@pytest.mark.parametrize("name", full(FOREIGN, by_default=["mindcv.ckpt"]))
def test_train_starts_from_every_format(files, tmp_path, name, capsys, caplog):
    line = [*DIGITS, f"--ckpt_path={files[name]}", "--epoch_size=1", "--warmup_epochs=0"]
    line += [f"--ckpt_save_dir={tmp_path}", "--num_samples=32"]
    train.main([word for word in line if word != "--num_samples=60"])
    kept = read_checkpoint(tmp_path / "resnet18-last.ckpt")
    assert kept.info["model"]["arch"] == ({"stem_pool": "same"} if name == "mindcv.ckpt" else {})
    assert validate.main([f"--ckpt_path={kept.path}", "--fold_bn=False"]).loss == kept.info["metrics"]["loss"]
    assert "classifier" not in caplog.text  # with the same number of classes it is kept


@pytest.mark.parametrize("main, extra", [(train, []), (convert, ["--output=x.ckpt"]), (export, ["--output=x.onnx"])])
def test_an_exported_network_is_not_a_source_of_weights(files, tmp_path, monkeypatch, main, extra, capsys):
    monkeypatch.chdir(tmp_path)
    assert "export" in fails(main.main, [*MODEL, f"--ckpt_path={files['own.onnx']}", *extra], capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_average_is_the_average_and_a_stripped_checkpoint_validates(tiny_model, tmp_path, capsys):
    train.main(small_run(tmp_path / "run", "--keep_checkpoint_max=2"))
    sources = [tmp_path / "run" / f"tiny_sknet-{epoch}.ckpt" for epoch in (1, 2)]
    convert.main(["--average", *map(str, sources), f"--output={tmp_path / 'mean.ckpt'}"])
    first, second = (read_checkpoint(path).weights for path in sources)
    mean = read_checkpoint(tmp_path / "mean.ckpt")
    for name, array in mean.weights.items():
        np.testing.assert_allclose(array, (first[name].astype(np.float64) + second[name]) / 2, rtol=1e-6, atol=1e-9)
    assert validate.main([f"--ckpt_path={mean.path}"]).num_examples == 70

    convert.main([f"--ckpt_path={sources[1]}", f"--output={tmp_path / 'stripped.ckpt'}"])
    stripped, full = read_checkpoint(tmp_path / "stripped.ckpt"), read_checkpoint(sources[1])
    assert "metrics" not in stripped.info and "lr" not in stripped.info["config"]
    assert validate.main([f"--ckpt_path={stripped.path}", "--fold_bn=False"]).loss == full.info["metrics"]["loss"]


@pytest.mark.parametrize(
    "line, message",
    [
        ([], "nothing to convert"),
        (["--ckpt_path=a.ckpt", "--average=b.ckpt", "--output=c.ckpt"], "leave --ckpt_path"),
        (["--ckpt_path=a.ckpt"], "--output must name a .ckpt file"),
        (["--ckpt_path=a.ckpt", "--output=c.pth"], "--output must name a .ckpt file"),
        (["--ckpt_path=a.ckpt", "--output=nowhere/c.ckpt"], "--output must name a .ckpt file"),
        (["--ckpt_path=a.ckpt", "--output=./a.ckpt"], "would be lost"),
        (["--average=a.ckpt", "--output=c.ckpt"], "a.ckpt"),
    ],
)
def test_illegal_input_to_convert_is_an_error(tmp_path, monkeypatch, line, message, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ckpt").write_bytes(b"something")
    assert message in fails(convert.main, line, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.fixture
def outputs(tiny_model, tmp_path):
    """A checkpoint, an image, and a command line for each script that writes what `--output` names."""
    network = create_model(tiny_model, num_classes=10)
    image = {"model": tiny_model, "image_resize": 16, "crop_pct": 1.0}
    info = {"model": network.description, "config": image, "class_names": [str(k) for k in range(10)]}
    save_checkpoint(tmp_path / "w.ckpt", network_weights(network), info)
    fixtures_data.write_image_folder(tmp_path, "photos", 1, 1, "png")
    line = [f"--ckpt_path={tmp_path / 'w.ckpt'}"]
    return {
        "x.csv": (infer.main, [*line, f"--images={tmp_path / 'photos'}", "--num_parallel_workers=1"]),
        "x.mindir": (export.main, line),
        "x.ckpt": (convert.main, line),
    }


@pytest.mark.parametrize("name", ["x.csv", "x.mindir", "x.ckpt"])
def test_an_existing_output_is_replaced_only_with_overwrite(outputs, tmp_path, name, monkeypatch, capsys):
    main, line = outputs[name]
    output = tmp_path / name
    output.write_text("mine")
    with monkeypatch.context() as before_any_work:
        before_any_work.setattr("assemble_weights.weights_to_start", None)
        message = fails(main, [*line, f"--output={output}"], capsys)
    assert f"{output} exists already" in message and "--overwrite" in message
    assert output.read_text() == "mine"
    main([*line, f"--output={output}", "--overwrite"])
    assert output.read_bytes() != b"mine"


def test_the_input_is_not_overwritten_even_with_overwrite(outputs, tmp_path, capsys):
    main, line = outputs["x.ckpt"]
    assert "would be lost" in fails(main, [*line, f"--output={tmp_path / 'w.ckpt'}", "--overwrite"], capsys)


@pytest.mark.parametrize("script", ["validate", "x.csv", "x.mindir", "x.ckpt"])
def test_weights_with_nan_are_an_error_in_every_script(outputs, tmp_path, script, capsys):
    path = tmp_path / "w.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint.weights["classifier.bias"][0] = np.nan
    save_checkpoint(path, checkpoint.weights, checkpoint.info)
    digits = [f"--ckpt_path={path}", "--dataset=digits", "--num_samples=8", "--num_parallel_workers=1"]
    main, line = (validate.main, digits) if script == "validate" else outputs[script]
    output = [] if script == "validate" else [f"--output={tmp_path / script}"]
    message = fails(main, [*line, *output], capsys)
    assert f"{path} holds NaN or infinity: 1 numbers in 1 of" in message and "classifier.bias" in message
    assert script == "validate" or not (tmp_path / script).exists()


def test_validate_counts_nan_and_infinite_outputs(outputs, tmp_path, capsys):
    path = tmp_path / "w.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint.weights["classifier.weight"][:] = 3e38  # finite; their products with activations are not
    save_checkpoint(path, checkpoint.weights, checkpoint.info)
    validate.main([f"--ckpt_path={path}", "--dataset=digits", "--num_samples=8", "--num_parallel_workers=1"])
    assert re.search(r"output is NaN or infinite for [1-8] of 8 images", capsys.readouterr().out)


def test_other_classes_get_a_new_classifier_and_other_weights_are_kept(tiny_model, tmp_path, capsys, caplog):
    train.main(small_run(tmp_path / "first"))
    start = tmp_path / "first" / "tiny_sknet-best.ckpt"
    names = ["five", "six", "seven"]
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path / "other", split, names, 12, "png")
    line = [f"--ckpt_path={start}", "--dataset=other", f"--data_dir={tmp_path / 'other'}", "--num_samples=none"]
    train.main(small_run(tmp_path / "second", *line, "--freeze=backbone", "--head_lr_scale=10", "--layer_decay=0.5"))
    assert f"{start}: its classifier of 10 classes is replaced by a new one of 3" in caplog.text
    assert "frozen: all but the classifier" in capsys.readouterr().out
    before, after = (
        read_checkpoint(start).weights,
        read_checkpoint(tmp_path / "second" / "tiny_sknet-last.ckpt").weights,
    )
    changed = {name for name in after if not np.array_equal(after[name], before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert after["classifier.weight"].shape[0] == 3

    # The same number of classes, but different ones: the old classifier would be wrong.
    for split in ("train", "val"):
        fixtures_data.write_image_folder(tmp_path / "ten", split, [f"n{k}" for k in range(10)], 4, "png")
    line = [f"--ckpt_path={start}", "--dataset=ten", f"--data_dir={tmp_path / 'ten'}", "--num_samples=none"]
    train.main(small_run(tmp_path / "third", *line))
    assert "its classifier of 10 classes is replaced by a new one of 10" in caplog.text
    assert "holds model=tiny_sknet" in fails(train.main, ["--model=resnet18", f"--ckpt_path={start}"], capsys)


def test_an_image_and_its_reflection_have_the_same_mean_prediction(files, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    for name, image in (("image", pixels), ("reflection", pixels[:, ::-1])):
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
    line = [
        *MODEL,
        "--crop_pct=1",
        f"--ckpt_path={files['own.ckpt']}",
        f"--images={tmp_path / 'photos'}",
        "--tta=hflip",
    ]
    assert infer.main([*line, f"--output={tmp_path / 'out.csv'}", "--topk=1"]) == 0
    one, other = (float(row["probability"]) for row in rows_of(tmp_path / "out.csv"))
    assert one == pytest.approx(other, rel=1e-5)


def test_infer_lists_unreadable_images_and_exits_with_1(files, tmp_path, capsys):
    fixtures_data.write_image_folder(tmp_path, "photos", 2, 3, "jpg", size=SIZE)
    broken = tmp_path / "photos" / "class0" / "000.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / "photos" / "notes.jpg").write_text("not an image")
    line = [f"--ckpt_path={files['own.ckpt']}", f"--images={tmp_path / 'photos'}", f"--output={tmp_path / 'out.json'}"]
    assert infer.main(line) == 1
    printed = capsys.readouterr().out
    assert "not predicted, 2 of 7" in printed and str(broken) in printed and "5 of 7 images predicted" in printed
    entries = json.loads((tmp_path / "out.json").read_text())
    assert len(entries) == 7 and sum(entry["error"] is not None for entry in entries) == 2


@pytest.mark.parametrize(
    "line, message",
    [
        (["--images=x.jpg"], "nothing to predict with"),
        (["--ckpt_path=OWN"], "no images are given"),
        (["--ckpt_path=OWN", "--images=nowhere"], "no file or folder nowhere"),
        (["--ckpt_path=OWN", "--images=photos", "--output=out.xls"], "csv"),
    ],
)
def test_illegal_input_to_infer_is_an_error(files, photos, tmp_path, monkeypatch, line, message, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("OWN", str(files["own.ckpt"])).replace("=photos", f"={photos}") for word in line]
    assert message in fails(infer.main, words, capsys)


@pytest.mark.parametrize("suffix", ["onnx", "mindir"])
def test_a_folded_export_validates_equally_and_has_a_description(files, measured, tmp_path, suffix, capsys):
    output = tmp_path / f"folded.{suffix}"
    export.main([f"--ckpt_path={files['own.ckpt']}", f"--output={output}", "--fold_bn", "--dynamic_batch=False"])
    printed = capsys.readouterr().out
    assert "20 batch norms folded" in printed and re.search(r"differ by \d\.\de-\d\d of the largest", printed)
    result = validate.main([f"--ckpt_path={output}", *DIGITS[2:]])
    assert result.loss == pytest.approx(measured["own.ckpt"].loss, rel=1e-5)


@pytest.mark.parametrize(
    "line, message",
    [
        (["--output=x.onnx"], "nothing to export"),
        (["--ckpt_path=OWN", "--output=x.pb"], "named *.onnx or *.mindir"),
        (["--ckpt_path=OWN"], "named *.onnx or *.mindir"),
    ],
)
def test_illegal_input_to_export_is_an_error(files, tmp_path, monkeypatch, line, message, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in fails(export.main, [word.replace("OWN", str(files["own.ckpt"])) for word in line], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", full(FOREIGN, by_default=["mindcv.ckpt"]))
def test_export_accepts_other_tools_weights_and_gives_the_networks_logits(files, measured, tmp_path, name):
    output = tmp_path / "foreign.onnx"
    export.main([*MODEL, "--crop_pct=1", f"--ckpt_path={files[name]}", f"--output={output}"])
    result = validate.main([f"--ckpt_path={output}", *DIGITS[2:]])
    assert result.loss == pytest.approx(measured[name].loss, rel=1e-5)


def test_an_onnx_file_of_another_tool_validates_without_class_names(files, measured, photos, tmp_path, capsys):
    foreign = onnx.load(files["own.onnx"])
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    line = [*DIGITS, f"--ckpt_path={tmp_path / 'foreign.onnx'}"]
    assert validate.main(line).loss == pytest.approx(measured["own.ckpt"].loss, rel=1e-5)
    line = [*MODEL, f"--ckpt_path={tmp_path / 'foreign.onnx'}", f"--images={photos}"]
    assert "does not name its classes" in fails(infer.main, line, capsys)
