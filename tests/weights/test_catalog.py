"""The catalog of published weights: valid records, all models covered, and published facts."""

import re
from dataclasses import fields

import pytest

from mindcv.models import list_models
from mindcv.weights.catalog import (
    WeightRecord,
    find_weights,
    format_table,
    imagenet_classes,
    pretrained_models,
    weight_records,
)

RECORDS = weight_records()
WITHOUT_WEIGHTS = set(list_models()) - pretrained_models()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record.model}.{record.name}")
def test_every_record_is_legal(record):
    assert record.source in ("timm", "mindcv")
    assert record.hub or record.url
    assert record.licence in ("apache-2.0", "bsd-3-clause", "cc-by-nc-4.0")
    assert record.num_classes == 1000
    assert 160 <= record.input_size <= record.eval_size <= 288
    assert 0.875 <= record.crop_pct <= record.eval_crop_pct <= 1
    assert record.interpolation in ("bilinear", "bicubic")
    assert len(record.mean) == len(record.std) == 3
    assert all(0 < number < 1 for number in (*record.mean, *record.std))
    assert 10 < record.top1 < record.top5 < 100  # in %
    assert 0.1 < record.params < 1000  # millions
    assert record.megabytes == pytest.approx(4 * record.params)
    assert record.hub_sha256 is None or re.fullmatch("[0-9a-f]{64}", record.hub_sha256)


@pytest.mark.parametrize("record", [record for record in RECORDS if record.url], ids=lambda record: record.url_file)
def test_a_urls_file_name_contains_its_hash(record):
    assert record.url.startswith("https://")
    assert re.fullmatch("[0-9a-f]{8,64}", record.url_sha256)
    assert re.search(rf"-{record.url_sha256}(-910v2)?\.(pth|ckpt)$", record.url)
    assert record.url_file.endswith(".ckpt") == (record.source == "mindcv")


def test_timms_weights_are_on_the_hub_under_their_own_name():
    for record in RECORDS:
        if record.source == "timm":
            model = "skresnext50_32x4d" if record.model == "sknet50" else record.model
            assert record.hub == f"timm/{model}.{record.name}"
            assert record.file == "model.safetensors"
            assert record.differences == ""
        else:
            assert record.hub is None
            assert record.file == record.url_file
            assert record.sha256 == record.url_sha256
            assert "max pooling" in record.differences


def test_names_are_unique_and_each_models_default_is_timms():
    pairs = [(record.model, record.name) for record in RECORDS]
    assert len(set(pairs)) == len(pairs)
    for model in pretrained_models():
        records = weight_records(model)
        assert find_weights(model) is records[0]
        sources = [record.source for record in records]
        assert sources == sorted(sources, reverse=True)
        assert sources[0] == "timm"


@pytest.mark.parametrize(
    ("model", "name", "top1", "top5", "size", "file"),
    [
        ("skresnet18", None, 73.020, 91.172, 224, "skresnet18_ra-4eec2804.pth"),
        ("skresnet34", None, 76.956, 93.320, 224, "skresnet34_ra-bdc0ccde.pth"),
        ("skresnext50_32x4d", None, 80.168, 94.644, 224, "skresnext50_ra-f40e40bf.pth"),
        ("sknet50", "ra_in1k", 80.168, 94.644, 224, "skresnext50_ra-f40e40bf.pth"),
        ("skresnet18", "mindcv", 73.09, 91.20, 224, "skresnet18-868228e5.ckpt"),
        ("skresnet18", "mindcv_910v2", 72.85, 90.83, 224, "skresnet18-9d8b1afc-910v2.ckpt"),
        ("skresnet34", "mindcv", 76.71, 93.10, 224, "skresnet34-d668b629.ckpt"),
        ("skresnext50_32x4d", "mindcv", 79.08, 94.60, 224, "skresnext50_32x4d-395413a2.ckpt"),
        ("resnet50", "a1_in1k", 81.240, 95.112, 288, "resnet50_a1_0-14fe96d1.pth"),
        ("resnet50", "tv_in1k", 76.156, 92.866, 224, "resnet50-0676ba61.pth"),
        ("resnet50", "mindcv", 76.69, 93.50, 224, "resnet50-e0733ab8.ckpt"),
    ],
)
def test_published_facts(model, name, top1, top5, size, file):
    record = find_weights(model, name)
    assert (record.top1, record.top5, record.eval_size, record.url_file) == (top1, top5, size, file)


def test_defaults_are_timms():
    expected = {
        **dict.fromkeys(("resnet18", "resnet34", "resnet50", "seresnet50"), "a1_in1k"),
        **dict.fromkeys(("resnet101", "resnet152", "resnext50_32x4d"), "a1h_in1k"),
        "resnext101_32x4d": "fb_ssl_yfcc100m_ft_in1k",
        "seresnext50_32x4d": "racm_in1k",
        "seresnext101_32x4d": "gluon_in1k",
        **dict.fromkeys(("skresnet18", "skresnet34", "skresnext50_32x4d", "sknet50"), "ra_in1k"),
    }
    assert {model: find_weights(model).name for model in expected} == expected


def test_both_names_of_one_network_have_the_same_default():
    one, other = find_weights("sknet50"), find_weights("skresnext50_32x4d")
    different = {field.name for field in fields(WeightRecord) if getattr(one, field.name) != getattr(other, field.name)}
    assert different == {"model"}


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("sknet26", None, r"no weights are published for 'sknet26'\. Models with weights: .*sknet50"),
        ("resnet50", "a1_in", r"no weights 'a1_in' .*Did you mean 'a1_in1k'.* Known: a1_in1k, .*, mindcv"),
        ("sknet50", "mindcv", r"cannot be used for 'sknet50': .* no groups"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(model, name, message):
    with pytest.raises(ValueError, match=message):
        find_weights(model, name)


def test_the_table_lists_all_weights_and_models_without_weights():
    names = list_models()
    lines = format_table(names).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0].split() == ["model", "weights", "top-1", "top-5", "at", "source", "licence", "size"]
    assert len(lines) == 1 + len(RECORDS) + len(WITHOUT_WEIGHTS)
    rows = [line.split() for line in lines]
    assert ["sknet26", "none", "published"] in rows
    assert ["sknet50", "ra_in1k", "80.17", "94.64", "224", "timm", "apache-2.0", "110", "MB"] in rows
    of_mindcv = next(line for line in lines if " mindcv " in line)
    assert lines[0].index("source") == of_mindcv.index("mindcv", lines[0].index("at"))


def test_imagenet_has_1000_classes_in_the_order_of_their_wordnet_ids():
    classes = imagenet_classes()
    wnids, names = zip(*classes, strict=True)
    assert len(classes) == len(set(wnids)) == len(set(names)) == 1000
    assert list(wnids) == sorted(wnids)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
    assert all(name == name.strip() and name for name in names)


@pytest.mark.parametrize(
    ("index", "wnid", "name"),
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane (bird)"),
        (207, "n02099601", "golden retriever"),
        (281, "n02123045", "tabby"),
        (517, "n03126707", "crane (machine)"),
        (638, "n03710637", "maillot"),
        (639, "n03710721", "maillot, tank suit"),
        (954, "n07753592", "banana"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_well_known_classes(index, wnid, name):
    assert imagenet_classes()[index] == (wnid, name)
