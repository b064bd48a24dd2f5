"""Pairs per second of the data engine on one core and, where there is one, on a GPU.

python Testing/Benchmarks/synthesis_throughput.py [--pairs 20] [--side 128] [--device cpu]
"""

import argparse
import time

import torch

from SynthFoundationLib.synthesis import render, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = (options.side,) * 3
    batch = [sample(seed, shape) for seed in range(options.pairs)]
    render(batch[0], options.device)
    settle(options.device)
    wall, core = time.perf_counter(), time.process_time()
    for parameters in batch:
        render(parameters, options.device)
    settle(options.device)
    wall, core = time.perf_counter() - wall, time.process_time() - core
    count = options.pairs
    print(f"{count} pairs of {options.side}³ on {options.device}, torch {torch.__version__}, one thread")
    print(f"processor time {core / count:.2f} s a pair: {count / core:.2f} pairs per core-second")
    print(f"elapsed        {wall / count:.2f} s a pair: {count / wall:.2f} pairs per second")


def settle(device: str) -> None:
    """Wait for a GPU to finish."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
