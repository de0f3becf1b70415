"""The lines of the check."""

from typing import Literal, NamedTuple

Verdict = Literal["ok", "FAIL", "skipped"]
TRIALS = ("device", "float32", "guard", "float16", "bfloat16", "all-reduce")  # in this order, each with a line


class Line(NamedTuple):
    """What was looked at, the result, and details: how large, or what is missing and where it would come from."""

    subject: str
    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:9}{self.subject}: {self.text}"
