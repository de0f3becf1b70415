"""Training with all parts of a step: prints losses, weights and statistics of the compile cache."""

import hashlib
import json
import logging
import sys
from pathlib import Path

import numpy as np
import tiny
from mindspore import Tensor

from mindcv.compile_cache import compiled_graphs_kept
from mindcv.engine import Clip, TrainStep
from mindcv.loss import create_loss
from mindcv.models import create_model, freeze
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime

told = []
logging.getLogger("mindcv").setLevel(logging.INFO)
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
logging.getLogger("mindcv").addHandler(handler)
setup_runtime(device_target="CPU", seed=3)
tiny.register()
network = create_model(tiny.NAME, num_classes=5, drop_rate=0.2, drop_path_rate=0.2)
freeze(network, 1)
optimizer = create_optimizer(network, "adamw", lr=[0.1, 0.05, 0.02], weight_decay=0.01, layer_decay=0.9)
step = TrainStep(
    network,
    create_loss(label_smoothing=0.1),
    optimizer,
    clip=Clip("norm", 1.0, optimizer.parameters),
    accumulate_steps=2,
)
rng = np.random.default_rng(0)
seen = []
with compiled_graphs_kept(Path(sys.argv[1]) if sys.argv[1] else None, described_by={}):
    for index in range(6):
        images = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
        if index == 3:
            images[0, 0, 4, 4] = np.inf
        step.set_train(True)
        loss, finite, *_ = step(Tensor(images), Tensor(rng.integers(0, 5, 4).astype(np.int32)))
        network.set_train(False)
        seen.append([loss.asnumpy().tobytes().hex(), bool(finite.asnumpy())])
        seen.append(network(Tensor(images)).asnumpy().tobytes().hex())
    for side in (9, 10, 11, 12):
        seen.append(network(Tensor(np.ones((4, 3, side, side), np.float32))).asnumpy().tobytes().hex())
weights = hashlib.sha256(b"".join(p.asnumpy().tobytes() for p in step.get_parameters())).hexdigest()
print(json.dumps({"seen": seen, "weights": weights, "reused": sum("reused" in t for t in told), "told": told}))
