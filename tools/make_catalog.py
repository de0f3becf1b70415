"""Generate mindcv/weights/catalog.csv and imagenet_classes.txt from the published data of timm and MindCV.

    python tools/make_catalog.py --timm_results results-imagenet.csv --mindcv_models site-packages/mindcv/models

Runs where timm (1.0.31) is installed, not where this package is used. `results-imagenet.csv` is in timm's repository,
folder `results`: the accuracy of every weight on ImageNet's validation set. MindCV (0.3.0) is only read as text: the
URLs in its source are compared with the table below, so neither it nor MindSpore has to be importable.
"""

import argparse
import csv
import re
import sys
from pathlib import Path

import timm
from timm.data import ImageNetInfo
from timm.models import get_pretrained_cfg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from goldens.recipe import AT_OTHER_DEPTH, SAME_AS, TIMM_MODELS

WEIGHTS = ROOT / "mindcv" / "weights"

COLUMNS = (
    *("model", "name", "source", "hub", "hub_sha256", "url", "url_sha256", "licence", "num_classes", "input_size"),
    *("crop_pct", "interpolation", "mean", "std", "eval_size", "eval_crop_pct", "top1", "top5", "params"),
    "differences",
)

# timm's configuration now names only the hub for these; it used to name these files, with the same weights.
RELEASE = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"
TIMM_URLS = {
    "skresnet18.ra_in1k": RELEASE + "skresnet18_ra-4eec2804.pth",
    "skresnet34.ra_in1k": RELEASE + "skresnet34_ra-bdc0ccde.pth",
    "skresnext50_32x4d.ra_in1k": RELEASE + "skresnext50_ra-f40e40bf.pth",
}

# The files, accuracies (top-1, top-5, %) and millions of parameters in MindCV's READMEs, today's or those of its 0.3.0;
# the interpolation is that of the recipe next to them. The digits in a file's name are the first of its sha256
# (configs/README.md there). "910v2" weights were trained again on a later device.
MINDCV = "https://download.mindspore.cn/toolkits/mindcv/"
MINDCV_910V2 = "https://download-mindspore.osinfra.cn/toolkits/mindcv/"
MINDCV_FILES = [
    ("resnet18", MINDCV + "resnet/resnet18-1e65cd21.ckpt", 70.21, 89.62, 11.70, "bilinear"),
    ("resnet34", MINDCV + "resnet/resnet34-f297d27e.ckpt", 74.15, 91.98, 21.81, "bilinear"),
    ("resnet50", MINDCV + "resnet/resnet50-e0733ab8.ckpt", 76.69, 93.50, 25.61, "bilinear"),
    ("resnet50", MINDCV_910V2 + "resnet/resnet50-f369a08d-910v2.ckpt", 76.76, 93.31, 25.61, "bilinear"),
    ("resnet101", MINDCV + "resnet/resnet101-689c5e77.ckpt", 78.24, 94.09, 44.65, "bilinear"),
    ("resnet152", MINDCV + "resnet/resnet152-beb689d8.ckpt", 78.72, 94.45, 60.34, "bilinear"),
    ("resnext50_32x4d", MINDCV + "resnext/resnext50_32x4d-af8aba16.ckpt", 78.53, 94.10, 25.10, "bilinear"),
    ("resnext50_32x4d", MINDCV_910V2 + "resnext/resnext50_32x4d-988f75bc-910v2.ckpt", 78.64, 94.18, 25.10, "bilinear"),
    ("resnext101_32x4d", MINDCV + "resnext/resnext101_32x4d-3c1e9c51.ckpt", 79.83, 94.80, 44.32, "bilinear"),
    ("resnext101_64x4d", MINDCV + "resnext/resnext101_64x4d-8929255b.ckpt", 80.30, 94.82, 83.66, "bilinear"),
    ("resnext152_64x4d", MINDCV + "resnext/resnext152_64x4d-3aba275c.ckpt", 80.52, 95.00, 115.27, "bilinear"),
    ("seresnet18", MINDCV + "senet/seresnet18-7880643b.ckpt", 71.81, 90.49, 11.80, "bicubic"),
    ("seresnet18", MINDCV_910V2 + "senet/seresnet18-7b971c78-910v2.ckpt", 72.05, 90.59, 11.80, "bicubic"),
    ("seresnet34", MINDCV + "senet/seresnet34-8179d3c9.ckpt", 75.38, 92.50, 21.98, "bicubic"),
    ("seresnet50", MINDCV + "senet/seresnet50-ff9cd214.ckpt", 78.32, 94.07, 28.14, "bicubic"),
    ("seresnext26_32x4d", MINDCV + "senet/seresnext26_32x4d-5361f5b6.ckpt", 77.17, 93.42, 16.83, "bicubic"),
    ("seresnext50_32x4d", MINDCV + "senet/seresnext50_32x4d-fdc35aca.ckpt", 78.71, 94.36, 27.63, "bicubic"),
    ("skresnet18", MINDCV + "sknet/skresnet18-868228e5.ckpt", 73.09, 91.20, 11.97, "bicubic"),
    ("skresnet18", MINDCV_910V2 + "sknet/skresnet18-9d8b1afc-910v2.ckpt", 72.85, 90.83, 11.97, "bicubic"),
    ("skresnet34", MINDCV + "sknet/skresnet34-d668b629.ckpt", 76.71, 93.10, 22.31, "bilinear"),
    # Not sknet50: MindCV's network of this name has no groups, so it is listed under the one name only.
    ("skresnext50_32x4d", MINDCV + "sknet/skresnext50_32x4d-395413a2.ckpt", 79.08, 94.60, 37.31, "bicubic"),
]
# Its code still asks for the name this file had before the READMEs renamed it; the digits are the same.
MINDCV_RENAMED = {"sknet18-868228e5": "skresnet18-868228e5"}
MINDCV_POOL = "max pooling with 'same' padding"
MINDCV_DIFFERENCES = {
    "skresnext50_32x4d": f"{MINDCV_POOL}; no groups, so 37.31 M parameters; no ReLU after a block's first convolution",
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# ImageNet has two classes each whose first word is "crane" or "maillot".
CLASS_NAMES = {"n02012849": "crane (bird)", "n03126707": "crane (machine)", "n03710721": "maillot, tank suit"}


def hash_prefix(url: str) -> str:
    """The hexadecimal digits in the name of a published file."""
    return re.search(r"-([0-9a-f]{8,64})(-910v2)?\.(pth|ckpt)$", url)[1] if url else ""


def listed(values) -> str:
    return " ".join(map(str, values))


def timm_records(model: str, results: dict) -> list[dict]:
    """The weights timm has for one network, its default first."""
    if model in AT_OTHER_DEPTH:
        return []
    records = []
    default = get_pretrained_cfg(model).tag
    for full_name in timm.list_pretrained(f"{model}.*"):
        cfg = get_pretrained_cfg(full_name)
        if cfg.num_classes != 1000:
            continue  # a backbone, not a classifier of ImageNet-1k
        eval_size = (cfg.test_input_size or cfg.input_size)[-1]
        accuracy = results[full_name, eval_size]
        assert float(accuracy["crop_pct"]) == (cfg.test_crop_pct or cfg.crop_pct), full_name
        assert accuracy["interpolation"] == cfg.interpolation, full_name
        url = cfg.url or TIMM_URLS.get(full_name, "")
        records.append(
            {
                "model": model,
                "name": cfg.tag,
                "source": "timm",
                "hub": cfg.hf_hub_id,
                "url": url,
                "url_sha256": hash_prefix(url),
                "licence": cfg.license,
                "num_classes": cfg.num_classes,
                "input_size": cfg.input_size[-1],
                "crop_pct": cfg.crop_pct,
                "interpolation": cfg.interpolation,
                "mean": listed(cfg.mean),
                "std": listed(cfg.std),
                "eval_size": eval_size,
                "eval_crop_pct": cfg.test_crop_pct or cfg.crop_pct,
                "top1": accuracy["top1"],
                "top5": accuracy["top5"],
                "params": accuracy["param_count"],
            }
        )
    return sorted(records, key=lambda record: (record["name"] != default, record["name"]))


def mindcv_records(model: str) -> list[dict]:
    """The weights MindCV has for one network."""
    return [
        {
            "model": model,
            "name": "mindcv_910v2" if "910v2" in url else "mindcv",
            "source": "mindcv",
            "url": url,
            "url_sha256": hash_prefix(url),
            "licence": "apache-2.0",
            "num_classes": 1000,
            "input_size": 224,
            "crop_pct": 0.875,
            "interpolation": interpolation,
            "mean": listed(IMAGENET_MEAN),
            "std": listed(IMAGENET_STD),
            "eval_size": 224,
            "eval_crop_pct": 0.875,
            "top1": top1,
            "top5": top5,
            "params": params,
            "differences": MINDCV_DIFFERENCES.get(model, MINDCV_POOL),
        }
        for name, url, top1, top5, params, interpolation in MINDCV_FILES
        if name == model
    ]


def check_mindcv_urls(models_folder: Path) -> None:
    """Every URL in MindCV's source that belongs to one of our networks must be in the table above."""
    ours = {url for _, url, *_ in MINDCV_FILES}
    for file in ("resnet.py", "senet.py", "sknet.py"):
        text = (models_folder / file).read_text()
        for model, url in re.findall(r'"(\w+)": _cfg\(\s*url="([^"]+)"', text):
            for old, new in MINDCV_RENAMED.items():
                url = url.replace(f"/{old}.", f"/{new}.")
            assert url in ours or model not in (*TIMM_MODELS, *AT_OTHER_DEPTH), f"{model}: {url} is not in the table"


def class_lines() -> list[str]:
    """WordNet id and name of every class: its first word in WordNet, unless two classes share it."""
    info = ImageNetInfo("imagenet-1k")
    words = {wnid: info.label_name_to_description(wnid, detailed=False) for wnid in info.label_names()}
    return [f"{wnid}\t{CLASS_NAMES.get(wnid) or text.split(', ')[0]}" for wnid, text in words.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timm_results", type=Path, required=True, help="results-imagenet.csv of timm's repository")
    parser.add_argument("--mindcv_models", type=Path, required=True, help="the folder mindcv/models of MindCV")
    args = parser.parse_args()
    check_mindcv_urls(args.mindcv_models)
    with args.timm_results.open() as stream:
        results = {(row["model"], int(row["img_size"])): row for row in csv.DictReader(stream)}
    records = []
    for model in (*TIMM_MODELS, *AT_OTHER_DEPTH):
        of_timm = timm_records(model, results)
        records += of_timm + mindcv_records(model)
        for name, of_timm_name in SAME_AS.items():
            if of_timm_name == model:
                records += [{**record, "model": name} for record in of_timm]
    with (WEIGHTS / "catalog.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    (WEIGHTS / "imagenet_classes.txt").write_text("\n".join(class_lines()) + "\n")
    print(f"{len(records)} records")


if __name__ == "__main__":
    main()
