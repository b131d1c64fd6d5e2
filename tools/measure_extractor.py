#!/usr/bin/env python
"""Rank-1 and mAP of extractors on rendered people and cameras that no training has seen.

Every crop is a query against all crops of the other cameras. Simulated people: not a result on any
data set.

    python tools/measure_extractor.py                      # the shipped one
    python tools/measure_extractor.py a.onnx b.onnx --seeds 5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from train_extractor import held_out_set, retrieval

from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, default=[SHIPPED])
    parser.add_argument("--seeds", type=int, default=3, help="sites of 200 people and 6 cameras")
    args = parser.parse_args()
    for path in args.models:
        extractor = OnnxExtractor(path)
        size = (extractor.form.height_px, extractor.form.width_px)
        figures = []
        for seed in range(args.seeds):
            crops, persons, cameras = held_out_set(np.random.default_rng(9_000_000 + seed), size)
            parts = [extractor.embed(crops[i : i + 32]) for i in range(0, len(crops), 32)]
            unit = np.concatenate(parts)
            unit /= np.linalg.norm(unit, axis=1, keepdims=True)
            figures.append(retrieval(unit, persons, cameras))
            print(
                f"  {path.name}, seed {seed}: rank-1 {figures[-1][0]:.3f} mAP {figures[-1][1]:.3f}"
            )
        rank1, mean_ap = np.mean(figures, axis=0)
        print(f"{extractor.version}: rank-1 {rank1:.3f} mAP {mean_ap:.3f}, {args.seeds} seeds")


if __name__ == "__main__":
    main()
