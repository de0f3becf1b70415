"""Prints a line and an error while a bar is shown."""

from mindcv import console

with console.Progress("loop", 2, "step") as progress:
    progress.advance("note")
    console.say("a line")
    console.tell_error("an error")
