"""Checkpoints of a run: contents, failures and rollback."""

import os

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from tiers import COMPILED_LATER, full, slow

from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.checkpoint import store as store_module
from mindcv.engine import EpochResult, Evaluation, Progress, SaveCheckpoints, TrainState, TrainStep
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer
from mindcv.runtime import setup_runtime
from resume import resume

TRAINING = {"num_parallel_workers": 1, "num_examples": 8, "updates_per_epoch": 2}


@pytest.fixture(autouse=True)
def pynative(request):
    """Pynative mode for the tests that do not choose: their few steps are not worth compiling."""
    if "mode" not in request.fixturenames:
        setup_runtime(mode=1, device_target="CPU")
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def images(seed):
    rng = np.random.default_rng(seed)
    return Tensor(rng.standard_normal((4, 3, 8, 8)).astype(np.float32)), Tensor(rng.integers(0, 3, 4).astype(np.int32))


def build(tiny_network, *, accumulate_steps=1, drops=True, **options):
    network = tiny_network(num_classes=3, **({"drop_rate": 0.3, "drop_path_rate": 0.2} if drops else {}))
    optimizer = create_optimizer(network, **{"opt": "momentum", "lr": [0.05] * 20, **options})
    step = TrainStep(network, create_loss(), optimizer, accumulate_steps=accumulate_steps)
    step.set_train(True)
    return TrainState(step)


def train(state, *seeds):
    return [float(state.step(*images(seed))[0].asnumpy()) for seed in seeds]


def everything(state):
    return {**state.weights(), **state.arrays()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.tobytes() == other[name].tobytes(), name


def saver_of(state, folder, **options):
    return SaveCheckpoints(CheckpointStore(folder, "m"), state, {"model": {}, "config": {}}, TRAINING, **options)


def epoch_result(epoch, top1=50.0):
    evaluation = Evaluation(top1=top1, top5=100.0, loss=0.5, num_examples=4, seconds=0.1)
    return EpochResult(epoch, 0.25, 0.1, 2.0, 50.0, 0.01, evaluation, True, False)


OPTIMIZERS = [{"opt": "momentum"}, {"opt": "sgd", "use_nesterov": True}, {"opt": "adam"}, {"opt": "adamw"}]
CASES = [(options, steps) for options in OPTIMIZERS for steps in (1, 2)]


@COMPILED_LATER  # tests/engine/test_combinations.py restores in Graph mode too
@pytest.mark.parametrize("options, accumulate_steps", [CASES[-1], *(slow(*case) for case in CASES[:-1])])
def test_training_from_a_restored_state_is_bit_identical(tmp_path, tiny_network, mode, options, accumulate_steps):
    state = build(tiny_network, accumulate_steps=accumulate_steps, **options)
    train(state, 1, 2, 3)
    saver_of(state, tmp_path).save_now(Progress(batch=3))
    losses = train(state, 4, 5, 6)

    other = build(tiny_network, accumulate_steps=accumulate_steps, **options)
    progress = other.restore(read_checkpoint(tmp_path / "m-last.ckpt"))
    assert progress == Progress(batch=3)
    assert train(other, 4, 5, 6) == losses
    assert_equal(everything(state), everything(other))


def test_the_state_contains_variables_but_not_settings(tiny_network):
    state = build(tiny_network)
    names = set(state.arrays())
    assert "global_step" in names and any(name.endswith(".draws") for name in names)
    moments = {name.removeprefix("moments.") for name in names if name.startswith("moments.")}
    assert moments == {parameter.name for parameter in state.step.network.trainable_params()}
    assert not names & (state.weights().keys() | {"learning_rate", "momentum"})


def test_another_optimizers_state_is_an_error_and_changes_nothing(tmp_path, tiny_network):
    saver_of(build(tiny_network), tmp_path).save_now(Progress(batch=1))
    other = build(tiny_network, opt="adamw")
    before = everything(other)
    with pytest.raises(ValueError, match=r"(?s)training state in .*m-last.ckpt do not fit this run.*missing.*moment1"):
        other.restore(read_checkpoint(tmp_path / "m-last.ckpt"))
    assert_equal(everything(other), before)


def test_between_epochs_another_accumulation_and_schedule_position_are_accepted(tmp_path, tiny_network):
    state = build(tiny_network, accumulate_steps=2)
    train(state, 1, 2, 3, 4)
    saver = saver_of(state, tmp_path)
    progress = Progress()
    progress.end_epoch(epoch_result(1))
    saver.save_epoch(epoch_result(1), progress)
    other = build(tiny_network)
    run = read_checkpoint(tmp_path / "m-last.ckpt")
    taken, remarks = resume(run, other, saver.store, 4, 16)
    assert taken.epoch == 1 and other.arrays()["global_step"] == [4]
    assert remarks == ["the training split had 8 images and now has 16"]
    assert_equal(other.weights(), state.weights())


def test_inside_an_epoch_another_number_of_images_is_an_error(tmp_path, tiny_network):
    saver = saver_of(build(tiny_network), tmp_path)
    saver.save_now(Progress(batch=1))
    run = read_checkpoint(tmp_path / "m-last.ckpt")
    with pytest.raises(ValueError, match=r"had 8 images and now has 9, and .* in the middle of an epoch"):
        resume(run, saver.state, saver.store, 2, 9)


@pytest.mark.parametrize("mode", full(["graph", "pynative"], by_default=["pynative"]), indirect=True)
def test_rollback_restores_weights_and_moments_but_not_the_position(tmp_path, tiny_network, mode):
    state = build(tiny_network, drops=False)
    saver = saver_of(state, tmp_path)
    train(state, 1, 2)
    saver.save_now(Progress(batch=2))
    before = everything(state)
    train(state, 3)
    saver.roll_back()
    after = everything(state)
    assert after.pop("global_step") == [3] and before.pop("global_step") == [2]
    assert_equal(after, before)
    train(state, 4)  # the compiled step uses the restored values
    other = build(tiny_network, drops=False)
    other.restore(read_checkpoint(tmp_path / "m-last.ckpt"))
    train(other, 4)
    one, two = everything(state), everything(other)
    assert one.pop("global_step") == [4] and two.pop("global_step") == [3]
    assert_equal(one, two)


def test_rollback_does_not_repeat_the_masks(tmp_path, tiny_network):
    state = build(tiny_network)
    saver = saver_of(state, tmp_path)
    saver.save_now(Progress(batch=1))
    train(state, 1, 2)
    saver.roll_back()
    assert {array.item() for name, array in state.arrays().items() if name.endswith(".draws")} == {2}


def test_a_state_that_is_saved_already_is_not_saved_again(tmp_path, tiny_network):
    saver, progress = saver_of(build(tiny_network), tmp_path), Progress(batch=1)
    saver.save_now(progress)
    progress.end_epoch(epoch_result(1))
    saver.save_epoch(epoch_result(1), progress)
    saver.save_now(progress)  # as a run stopped at the end of an epoch does
    assert read_checkpoint(saver.store.last).info["metrics"]["top1"] == 50.0
    assert read_checkpoint(saver.store.previous).info["training"]["progress"]["batch"] == 1


def test_an_epoch_that_is_not_due_costs_no_copy_of_the_weights(tmp_path, tiny_network, monkeypatch):
    saver, progress = saver_of(build(tiny_network), tmp_path), Progress()
    saver.store.interval = 5
    monkeypatch.setattr(saver.state, "weights", None)
    saver.save_epoch(EpochResult(**{**vars(epoch_result(1)), "is_best": False}), progress)
    assert not saver.store.last.exists()


def test_rollback_without_a_checkpoint_is_an_error(tmp_path, tiny_network):
    with pytest.raises(ValueError, match="no checkpoint yet to roll back to"):
        saver_of(build(tiny_network), tmp_path).roll_back()


def test_rollback_past_a_damaged_checkpoint_is_a_warning(tmp_path, tiny_network, capsys):
    state = build(tiny_network)
    saver = saver_of(state, tmp_path)
    for epoch in (1, 2):
        saver.save_now(Progress(epoch=epoch))
    os.truncate(saver.store.last, 100)
    saver.roll_back()
    assert f"warning: {saver.store.last} is damaged" in capsys.readouterr().out


def test_non_finite_weights_are_never_saved(tmp_path, tiny_network):
    state = build(tiny_network)
    saver = saver_of(state, tmp_path)
    saver.save_now(Progress(batch=1))
    parameter = state.step.network.trainable_params()[0]
    parameter.set_data(parameter * float("nan"))
    with pytest.raises(ValueError, match=rf"{parameter.name} holds NaN.*epoch 1, step 2.*m-last.ckpt, is intact"):
        saver.save_now(Progress(batch=2))
    assert read_checkpoint(tmp_path / "m-last.ckpt").info["training"]["progress"]["batch"] == 1


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_a_failed_save_stops_the_run_or_is_a_warning_and_repeated(tmp_path, tiny_network, monkeypatch, capsys, policy):
    saver = saver_of(build(tiny_network), tmp_path, on_error=policy)
    saver.save_now(Progress(batch=1))

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "fsync", full_disk)
        expected = r"could not write .*m-last.ckpt: No space left on device.*m-last.ckpt, is intact"
        if policy == "stop":
            with pytest.raises(OSError, match=expected):
                saver.save_now(Progress(batch=2))
        else:
            saver.save_now(Progress(batch=2))
            assert "Training continues without this checkpoint" in capsys.readouterr().out
    assert "No space left" in saver.problem
    assert os.listdir(tmp_path) == ["m-last.ckpt"]
    assert read_checkpoint(tmp_path / "m-last.ckpt").info["training"]["progress"]["batch"] == 1
    saver.save_now(Progress(batch=3))
    assert saver.problem is None


def best_run(tmp_path, tiny_network):
    state, progress = build(tiny_network), Progress()
    saver = saver_of(state, tmp_path)
    for epoch, top1 in ((1, 60.0), (2, 40.0)):
        result = epoch_result(epoch, top1)
        result = EpochResult(**{**vars(result), "is_best": epoch == 1})
        progress.end_epoch(result)
        saver.save_epoch(result, progress)
    return state, saver.store


def resume_newest(state, store):
    run, _ = store.newest()
    return resume(run, state, store, 2, 8)


def test_the_best_epoch_is_restored(tmp_path, tiny_network):
    state, store = best_run(tmp_path, tiny_network)
    progress, remarks = resume_newest(state, store)
    assert (progress.best_epoch, progress.best_top1, remarks) == (1, 60.0, [])


def test_a_best_checkpoint_newer_than_the_state_is_not_overwritten_by_a_worse_one(tmp_path, tiny_network):
    state, store = best_run(tmp_path, tiny_network)
    best = read_checkpoint(store.best)
    metrics = {"top1": 90.0, "top5": 100.0, "loss": 0.1}
    store_module.save_checkpoint(store.best, best.weights, {**best.info, "epoch": 3, "metrics": metrics})
    progress, _ = resume_newest(state, store)
    assert (progress.best_epoch, progress.best_top1) == (3, 90.0)


def test_a_missing_best_checkpoint_is_reported_and_replaced(tmp_path, tiny_network):
    state, store = best_run(tmp_path, tiny_network)
    store.best.unlink()
    progress, remarks = resume_newest(state, store)
    assert progress.best_top1 is None and "that of epoch 1 (60.00 %) is lost" in remarks[0]


def test_a_missing_best_checkpoint_is_rewritten_at_its_epoch(tmp_path, tiny_network):
    state, store = best_run(tmp_path, tiny_network)
    weights = read_checkpoint(store.best).weights
    store.best.unlink()
    store.last.unlink()  # so that the run resumes from the end of epoch 1
    progress, remarks = resume_newest(state, store)
    assert (progress.epoch, progress.best_top1) == (1, 60.0) and "has been restored from" in remarks[0]
    assert_equal(read_checkpoint(store.best).weights, weights)
