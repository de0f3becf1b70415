"""The folder of a run: which checkpoints it keeps and replaces, and where a run can be resumed."""

import os

import numpy as np
import pytest

from mindcv.checkpoint import CheckpointStore, read_checkpoint
from mindcv.checkpoint import store as store_module

WEIGHTS = {"w": np.arange(3, dtype=np.float32)}
STATE = {"moments.w": np.ones(3, np.float32)}


def info(epoch):
    return {"epoch": epoch, "metrics": {}, "training": {"progress": {"epoch": epoch}}}


def save(store, epoch, *, is_best=False, is_final=False, scores=None):
    store.save(WEIGHTS, info(epoch), STATE, epoch=epoch, is_best=is_best, is_final=is_final, scores=scores)


def epoch_of(path):
    return read_checkpoint(path).info["epoch"]


def test_the_store_keeps_best_last_the_one_before_and_the_newest_few(tmp_path):
    store = CheckpointStore(tmp_path, "m", keep=2)
    for epoch in range(1, 12):
        save(store, epoch, is_best=epoch == 3, is_final=epoch == 11)
    files = ["m-10.ckpt", "m-11.ckpt", "m-best.ckpt", "m-last.ckpt", "m-previous.ckpt"]
    assert sorted(os.listdir(tmp_path)) == files
    assert [epoch_of(tmp_path / name) for name in files] == [10, 11, 3, 11, 10]


def numbered(folder):
    return sorted(int(path.stem[2:]) for path in folder.glob("m-*.ckpt") if path.stem[2:].isdigit())


def test_top_k_keeps_the_best_epochs_and_of_equal_ones_the_earlier(tmp_path):
    top1 = {1: 50.0, 2: 70.0, 3: 60.0, 5: 70.0, 6: 65.0, 7: 80.0}  # epoch 4 is not validated
    kept = []
    for epoch in range(1, 8):
        store = CheckpointStore(tmp_path, "m", keep=2, policy="top_k")  # a new one: nothing is remembered
        save(store, epoch, is_final=epoch == 7, scores={key: value for key, value in top1.items() if key <= epoch})
        kept.append(numbered(tmp_path))
    assert kept == [[1], [1, 2], [2, 3], [2, 3], [2, 5], [2, 5], [2, 7]]
    assert epoch_of(store.last) == 7 and epoch_of(store.previous) == 6


def test_a_repeated_epoch_after_a_kill_ends_with_the_same_top_k(tmp_path):
    store = CheckpointStore(tmp_path, "m", keep=2, policy="top_k")
    for epoch in (1, 2, 3):
        save(store, epoch, scores={1: 10.0, 2: 30.0, 3: 20.0})
    assert numbered(tmp_path) == [2, 3]
    # Resumed from epoch 1: those of later epochs have no score until the run reaches them again.
    save(store, 2, scores={1: 10.0, 2: 5.0})
    assert numbered(tmp_path) == [2, 3]
    save(store, 4, scores={1: 10.0, 2: 5.0, 4: 6.0})
    assert numbered(tmp_path) == [2, 4]


def test_the_best_checkpoint_has_weights_only_and_the_others_can_be_resumed(tmp_path):
    store = CheckpointStore(tmp_path, "m", keep=1)
    save(store, 1, is_best=True)
    save(store, 2)
    assert not read_checkpoint(store.best).can_resume and "training" not in read_checkpoint(store.best).info
    assert all(read_checkpoint(path).can_resume for path in (store.last, store.previous, tmp_path / "m-2.ckpt"))


def test_the_save_interval_skips_epochs_but_not_the_best_or_the_last(tmp_path):
    store = CheckpointStore(tmp_path, "m", keep=9, interval=4)
    seen = []
    for epoch in range(1, 7):
        save(store, epoch, is_best=epoch == 3, is_final=epoch == 6)
        seen.append(epoch_of(store.last) if store.last.exists() else None)
    assert seen == [None, None, 3, 4, 4, 6]  # the best is saved with a last that records it
    assert sorted(os.listdir(tmp_path)) == ["m-4.ckpt", "m-6.ckpt", "m-best.ckpt", "m-last.ckpt", "m-previous.ckpt"]
    assert epoch_of(store.best) == 3


@pytest.mark.parametrize("has_links", [True, False])
def test_numbered_and_previous_files_are_not_changed_by_later_saves(tmp_path, monkeypatch, has_links):
    if not has_links:

        def refuse(*_):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(store_module.os, "link", refuse)
    store = CheckpointStore(tmp_path, "m", keep=3)
    for epoch in (1, 2, 3):
        save(store, epoch)
    names = ["m-1.ckpt", "m-2.ckpt", "m-3.ckpt", "m-previous.ckpt", "m-last.ckpt"]
    assert [epoch_of(tmp_path / name) for name in names] == [1, 2, 3, 2, 3]


def test_an_earlier_run_is_moved_and_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for run in (1, 2, 3):
        store = CheckpointStore(tmp_path, "m", keep=1)
        archive = store.prepare_new_run()
        assert (archive is None) == (run == 1)
        save(store, run, is_best=True, is_final=True)
        (tmp_path / "metrics.csv").write_text(str(run))
    assert sorted(os.listdir(tmp_path)) == [
        *("earlier-1", "earlier-2", "m-3.ckpt", "m-best.ckpt", "m-last.ckpt", "metrics.csv", "notes.txt"),
    ]
    assert epoch_of(tmp_path / "earlier-1" / "m-best.ckpt") == 1
    assert (tmp_path / "earlier-2" / "metrics.csv").read_text() == "2"


def test_a_run_that_ended_before_its_first_checkpoint_leaves_no_archive(tmp_path):
    (tmp_path / "config.yaml").write_text("model: sknet50")
    (tmp_path / ".m-last.saving.ckpt").write_bytes(b"half")
    (tmp_path / ".metrics.saving.csv").write_bytes(b"half")
    assert CheckpointStore(tmp_path, "m").prepare_new_run() is None
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_an_unwritable_folder_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write checkpoints to"):
        CheckpointStore(tmp_path / "file" / "sub", "m").check_writable()
    CheckpointStore(tmp_path / "new" / "folder", "m").check_writable()
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_folder_is_removed_again_if_nothing_was_saved(tmp_path):
    store = CheckpointStore(tmp_path / "a" / "b", "m")
    with store.lock():
        assert store.folder.is_dir()
    assert not (tmp_path / "a").exists()
    with store.lock():
        save(store, 1)
    assert os.listdir(store.folder) == ["m-last.ckpt"]


def test_a_second_run_in_one_folder_is_an_error_that_names_the_first(tmp_path):
    with (
        CheckpointStore(tmp_path, "m").lock(),
        pytest.raises(ValueError, match=rf"process {os.getpid()} .*--ckpt_save_dir"),
        CheckpointStore(tmp_path, "other").lock(),
    ):
        pass


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_last_checkpoint_is_renamed_and_the_previous_one_used(tmp_path):
    store = CheckpointStore(tmp_path, "m")
    for epoch in (1, 2):
        save(store, epoch)
    damage(store.last)
    run, complaints = store.newest()
    assert run.path == store.previous and run.info["epoch"] == 1
    assert len(complaints) == 1 and f"{store.last} is damaged" in complaints[0]
    assert store.prepare_to_resume(run) == [f"{store.last} is damaged; it is now {store.last}.damaged"]
    save(store, 2)
    assert epoch_of(store.last) == 2 and epoch_of(store.previous) == 1, "a damaged file must not replace a good one"


def test_numbered_checkpoints_are_used_if_last_and_previous_are_missing(tmp_path):
    store = CheckpointStore(tmp_path, "m", keep=2)
    for epoch in (1, 2, 3):
        save(store, epoch)
    store.last.unlink()
    store.previous.unlink()
    assert store.newest()[0].info["epoch"] == 3


def test_if_all_checkpoints_are_damaged_nothing_is_deleted_and_an_error_raised(tmp_path):
    store = CheckpointStore(tmp_path, "m")
    for epoch in (1, 2):
        save(store, epoch)
    damage(store.last)
    damage(store.previous)
    with pytest.raises(ValueError, match=r"(?s)m-last.ckpt is damaged.*m-previous.ckpt is damaged.*left to resume"):
        store.newest()
    assert sorted(os.listdir(tmp_path)) == ["m-last.ckpt", "m-previous.ckpt"]


def test_an_empty_folder_and_weights_without_state_cannot_be_resumed(tmp_path):
    store = CheckpointStore(tmp_path / "none", "m")
    assert store.newest() == (None, [])
    store = CheckpointStore(tmp_path, "m")
    store_module.save_checkpoint(store.last, WEIGHTS, info(1))
    run, complaints = store.newest()
    assert run is None and "holds no training state" in complaints[0]


def test_resuming_into_another_folder_copies_the_best_and_leaves_the_old_folder_unchanged(tmp_path):
    old, new = CheckpointStore(tmp_path / "old", "m"), CheckpointStore(tmp_path / "new", "m")
    old.folder.mkdir()
    new.folder.mkdir()
    save(old, 1, is_best=True)
    before = {path.name: path.read_bytes() for path in old.folder.iterdir()}
    save(new, 5)
    remarks = new.prepare_to_resume(old.newest()[0])
    assert remarks == [f"an earlier run's files were moved to {new.folder / 'earlier-1'}"]
    assert epoch_of(new.best) == 1 and not new.last.exists()
    assert {path.name: path.read_bytes() for path in old.folder.iterdir()} == before
