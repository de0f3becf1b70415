"""What benchmark.py makes of its measurements: statistics, tables, files, and a row of the README.

Imports neither MindSpore nor NumPy: what is measured runs in other processes.
"""

from mindcv.benchmark.readme import check_place, replace_row
from mindcv.benchmark.report import as_text, readme_note, readme_row, write_report
from mindcv.benchmark.results import MODES, DataWait, Results, Timing

__all__ = [
    "MODES",
    "DataWait",
    "Results",
    "Timing",
    "as_text",
    "check_place",
    "readme_note",
    "readme_row",
    "replace_row",
    "write_report",
]
