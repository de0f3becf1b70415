"""The frame of every script: usable streams, one-sentence error messages, exit codes."""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from mindcv import console

_DEBUG = re.compile(r"(?:^|\s)(?:--debug|(?:--)?debug=(?:true|1|yes|on))(?=\s|$)(?!\s+(?:false|0|no|off)\b)")


def run_script(main: Callable[[Sequence[str] | None], Any], argv: Sequence[str] | None = None) -> NoReturn:
    """Run `main(argv)` and exit with the number it returns, or 0.

    A user's error is a sentence on stderr and exit code 2; a traceback is shown only with --debug. Lost output (but not
    a closed pipe) also makes the exit code 2, after all work is done.
    """
    console.prepare_streams()
    code = _run(main, argv)
    lost = console.finish()
    if lost:
        console.tell_error(f"error: the work was done, but stdout could not be written: {lost}")
    sys.exit(code or (2 if lost else 0))


def _run(main: Callable[[Sequence[str] | None], Any], argv: Sequence[str] | None) -> int:
    line = " ".join(sys.argv[1:] if argv is None else argv).lower()
    try:
        result = main(argv)
        return result if isinstance(result, int) else 0
    except SystemExit as end:  # after --help and the like
        return end.code if isinstance(end.code, int) else 0
    except (ValueError, OSError) as error:
        if _DEBUG.search(line) and sys.stderr is not None:
            traceback.print_exc()
        lines = map(console.printable, str(error).split("\n"))  # a file name in it could control the terminal
        console.tell_error("error: " + "\n".join(lines))
        return 2
    except MemoryError as error:
        reason = f" ({console.printable(str(error))})" if str(error) else ""
        console.tell_error(f"error: out of memory{reason}")
        return 2
    except KeyboardInterrupt:
        console.tell_error("interrupted")
        return 130
