"""A script that writes the file in its argument, prints a line, shows a bar, and raises a user error."""

import sys

from mindcv import console
from mindcv.script import run_script


def main(argv):
    with open(argv[0], "w") as file:
        assert file.fileno() > 2, "what C++ prints to stderr would land in it"
        file.write("whole")
    console.say("a line")
    with console.Progress("loop", 1, "step") as progress:
        progress.advance()
    console.status("waiting")
    raise ValueError("a mistake")


run_script(main, sys.argv[1:])
