"""Runs a script with a small network; prints how many graphs the compile cache reused."""

import json
import logging
import sys

import tiny

import infer
import train
import validate

told = []
logging.getLogger("mindcv").setLevel(logging.INFO)
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
logging.getLogger("mindcv").addHandler(handler)
tiny.register()
{"train": train, "validate": validate, "infer": infer}[sys.argv[1]].main(sys.argv[2:])
print(json.dumps({"reused": sum("reused" in text for text in told), "told": told}))
