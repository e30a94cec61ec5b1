"""Accuracy of each protocol on noise with random labels, over the dimension: `python benchmarks/leak.py`.

An honest protocol stays at chance. `paper` fits LDA to the held-out point too, and rises with the dimension.
"""

import argparse
from pathlib import Path
from sys import path

import numpy as np

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.analysis.protocols import classify

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--points", type=int, default=370)
parser.add_argument("--classes", type=int, default=38)
parser.add_argument("--lda-dims", type=int, default=5)
parser.add_argument("--k", type=int, default=5)
parser.add_argument("--seeds", type=int, default=5)
args = parser.parse_args()

PROTOCOLS = ("paper", "nested", "grouped")
print(f"{args.points} points of noise, {args.classes} random labels, LDA-{args.lda_dims}, k={args.k}: accuracy in %")
print("dims" + "".join(f"{protocol:>9}" for protocol in PROTOCOLS) + "   chance")
for dims in (32, 80, 128, 256):
    accuracies = []
    for seed in range(args.seeds):
        rng = np.random.default_rng((seed, dims))
        points = rng.normal(size=(args.points, dims))
        labels = rng.permutation(np.arange(args.points) % args.classes)
        groups = np.arange(args.points) % 10
        outcomes = [
            classify(points, labels, protocol=protocol, groups=groups, lda_dims=args.lda_dims, ks=(args.k,))
            for protocol in PROTOCOLS
        ]
        accuracies.append([100 * outcome.accuracy[0] for outcome in outcomes])
    print(f"{dims:4}" + "".join(f"{mean:9.1f}" for mean in np.mean(accuracies, axis=0)) + f"{100 / args.classes:9.1f}")
