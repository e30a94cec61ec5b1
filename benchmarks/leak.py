"""What each protocol scores on pure noise with random labels, over dimension: `python benchmarks/leak.py`.

The honest figure is chance. `paper` fits LDA on the held-out point too, and rises with the dimension.
"""

import argparse

import numpy as np

from lvm_probe.analysis.protocols import classify

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--points", type=int, default=370)
parser.add_argument("--classes", type=int, default=38)
parser.add_argument("--lda-dims", type=int, default=5)
parser.add_argument("--k", type=int, default=5)
parser.add_argument("--seeds", type=int, default=5)
args = parser.parse_args()

print(f"{args.points} points of noise, {args.classes} random labels, LDA-{args.lda_dims}, k={args.k}, per cent right")
print("  d   paper  nested   chance")
for dims in (32, 80, 128, 256):
    scores: dict[str, list[float]] = {"paper": [], "nested": []}
    for seed in range(args.seeds):
        rng = np.random.default_rng((seed, dims))
        points = rng.normal(size=(args.points, dims))
        labels = rng.permutation(np.arange(args.points) % args.classes)
        for protocol, found in scores.items():
            outcome = classify(points, labels, protocol=protocol, lda_dims=args.lda_dims, ks=(args.k,))
            found.append(100 * outcome.accuracy[0])
    print(f"{dims:4}  {np.mean(scores['paper']):5.1f}   {np.mean(scores['nested']):5.1f}    {100 / args.classes:5.1f}")
