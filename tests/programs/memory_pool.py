"""Allocates blocks larger than those of MindSpore's pool, with a limited address space if a limit is given."""

import os
import resource
import sys

if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
import mindcv

mindcv.setup_runtime(device_target="CPU")
mindcv.setup_runtime(device_target="CPU")  # a second call does not change the pool
import mindspore as ms

kept = [ms.mint.zeros((3 * 2**26,)) for _ in range(2)]  # 0.75 GB each, which do not fit in one of MindSpore's blocks
print(float((kept[0] + 1)[7].asnumpy()))
if not os.fork():
    os._exit(7)
print("child ended with", os.wait()[1] >> 8)
