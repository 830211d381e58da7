"""The floor of inference: ONNX Runtime in a loop, without a server.

python bare.py MODEL.onnx FEEDS.npz THREADS: for each line with seconds on its input a line of JSON on its output.
"""

import json
import sys
import time

import numpy as np
import onnxruntime

path, arrays, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(path, options)
feeds = dict(np.load(arrays))
session.run(None, feeds)
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    count, cpu, begin = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - begin < float(line):
        session.run(None, feeds)
        count += 1
    spent = {"requests": count, "seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
    print(json.dumps(spent), flush=True)
