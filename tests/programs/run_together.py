"""`train.py` with a small network: `python tests/programs/run_together.py OPTIONS`.

`SIGNAL_AT=rank,step,signal` sends a process of several a signal before it trains on that batch; `LATE_AT=rank,step,
seconds` lets it come later.
"""

import os
import sys
import time

import tiny

import train
from mindcv.engine import SentSteps
from mindcv.script import run_script

tiny.register()
rank, at, signum = map(int, os.environ.get("SIGNAL_AT", "-1,0,0").split(","))
late_rank, late_at, seconds = map(int, os.environ.get("LATE_AT", "-1,0,0").split(","))
steps, send = 0, SentSteps.send


def send_or_signal(sent):
    global steps
    steps += 1
    if steps == at and os.environ.get("MS_NODE_ID") == str(rank):
        os.kill(os.getpid(), signum)
    if steps == late_at and os.environ.get("MS_NODE_ID") == str(late_rank):
        time.sleep(seconds)
    return send(sent)


SentSteps.send = send_or_signal
run_script(train.main, sys.argv[1:])
