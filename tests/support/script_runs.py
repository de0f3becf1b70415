"""Running the scripts in this process: short trainings, and user errors."""

import pytest

from mindcv.script import run_script


def small_run(folder, *extra) -> list[str]:
    """A command line that trains for seconds; options in `extra` replace its own.

    Pynative mode, unless `--mode=0` is given: compiling takes longer than the run.
    """
    usual = [
        "--model=tiny_sknet",
        f"--ckpt_save_dir={folder}",
        "--image_resize=16",
        "--epoch_size=2",
        "--batch_size=16",
        "--num_samples=70",
        "--num_parallel_workers=1",
        "--mode=1",
    ]
    replaced = {_key(word) for word in extra}
    return [*(word for word in usual if _key(word) not in replaced), *extra]


def _key(word: str) -> str:
    return word.lstrip("-").split("=")[0]


def fails(main, argv, capsys) -> str:
    """Run a script that must end with exit code 2 and one message; returns the message."""
    with pytest.raises(SystemExit) as caught:
        run_script(main, argv)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "Traceback" not in message
    return message
