"""The GPU suite: what the library claims about a CUDA device, checked and timed by one command.

    python -m benchmarks.gpu                          on a machine with a card: every part, table in benchmarks/results/gpu.md
    python -m benchmarks.gpu --device cpu --tiny      the same code at toy sizes on a CPU, gsplat by a stand-in

Each part runs in its own process with a time budget: a part that fails or overruns is reported and the others go on.
"""
