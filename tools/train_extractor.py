#!/usr/bin/env python
"""Trains the extractor that the package ships: a ResNet-50 that has seen rendered people.

Every crop of the training is drawn in a camera of its own, so nothing about the demo's cameras or
people can be learnt. Two losses: the mean squared error of the renderer's own attributes (they are
dense and move a network from scratch within minutes) and, after a warm-up, a supervised
contrastive loss over crops of the same person (Khosla et al. 2020), which is what makes distances
mean identity. Bit-for-bit repetition is not promised across machines; the log names the seed.

The shipped one was trained in two steps (training.json beside it holds both logs): first on small
crops of unrelated people, then on larger ones of which half come with a look-alike.

    python tools/train_extractor.py --out build/step1 --size 64 32 --look-alikes 0 \\
        --people 10000 --batch 96 --iterations 2400
    python tools/train_extractor.py --out build/step2 --init build/step1/extractor.pth

A weak one to retrain from, in minutes (low layers of the shipped one, the rest new):

    python tools/train_extractor.py --out build/weak --init shipped --forget layer3 layer4 \\
        --size 48 24 --people 1000 --iterations 40 --report 40 --look-alikes 0 --no-bf16
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from stgal_stream.experiments.simulation.people import Person, look_alike, random_person
from stgal_stream.experiments.simulation.renderer import (
    CameraLook,
    encode_jpeg,
    random_look,
    random_pose,
    render,
)
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.training.from_onnx import network_of, normalise_by
from stgal_stream.training.network import (
    EMBEDDING_DIM,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ResNet50,
    read_state,
)


def main() -> int:
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    crops, attributes = _training_set(rng, args)
    held_out = held_out_set(np.random.default_rng(args.seed + 1_000_003), args.size)
    run = _Run(args, attributes.shape[1], rng)
    start, began = run.iteration, time.monotonic()
    while run.iteration < args.iterations:
        loss = run.step(crops, attributes)
        if run.iteration % args.report and run.iteration < args.iterations:
            continue
        rank1, mean_ap = retrieval(_embed(run.network, held_out[0]), *held_out[1:])
        spent = time.monotonic() - began
        left = spent / (run.iteration - start) * (args.iterations - run.iteration)
        run.log.append({"iteration": run.iteration, "loss": loss, "rank1": rank1, "mAP": mean_ap})
        print(
            f"{run.iteration}/{args.iterations} loss {loss:.3f} held-out rank-1 {rank1:.3f} "
            f"mAP {mean_ap:.3f}, {spent / 60:.1f} min, {left / 60:.1f} min left",
            flush=True,
        )
        run.save()
    torch.save(run.network.net.state_dict(), args.out / "extractor.pth")
    _write_log(args, run.log, time.monotonic() - began)
    return 0


class _Run:
    """The network with everything that a checkpoint keeps of its training."""

    def __init__(
        self, args: argparse.Namespace, n_attributes: int, rng: np.random.Generator
    ) -> None:
        self._args = args
        self._rng = rng
        self.network = ResNet50(last_stride=1).to(memory_format=torch.channels_last)
        if args.init is not None:
            known = _initial(args.init, args.size)
            kept = {k: v for k, v in known.items() if k.split(".")[0] not in args.forget}
            self.network.net.load_state_dict(kept, strict=False)
        self._head = torch.nn.Linear(EMBEDDING_DIM, n_attributes)
        parameters = [*self.network.parameters(), *self._head.parameters()]
        self._optimiser = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, args.lr, total_steps=args.iterations, pct_start=args.rise
        )
        self._checkpoint = args.out / "checkpoint.pt"
        self.iteration = 0
        self.log: list[dict[str, float]] = []
        if args.resume and self._checkpoint.is_file():
            self._load()

    def step(self, crops: NDArray[np.uint8], attributes: NDArray[np.float32]) -> float:
        """One batch; its loss."""
        args = self._args
        self.network.train()
        rows = _batch_rows(self._rng, args.people, args.views, args.batch)
        images = _augmented(crops[rows], self._rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            feature = self.network(images)
        feature = feature.float()
        loss: torch.Tensor = F.mse_loss(self._head(feature), torch.from_numpy(attributes[rows]))
        warmth = self.iteration / args.warm_up - 1.0 if args.warm_up else 1.0
        weight = args.contrastive * min(1.0, max(0.0, warmth))
        if weight > 0:
            labels = torch.from_numpy(rows // args.views)
            loss = loss + weight * _contrastive(feature, labels, args.temperature)
        self._optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._optimiser.step()
        self._schedule.step()
        self.iteration += 1
        return loss.item()

    def save(self) -> None:
        """The checkpoint, written beside and renamed."""
        saved = {
            "n": self.network.state_dict(),
            "h": self._head.state_dict(),
            "o": self._optimiser.state_dict(),
            "s": self._schedule.state_dict(),
            "iteration": self.iteration,
            "log": self.log,
            "rng": self._rng.bit_generator.state,
        }
        torch.save(saved, self._checkpoint.with_suffix(".tmp"))
        self._checkpoint.with_suffix(".tmp").replace(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint, weights_only=False)
        self.network.load_state_dict(state["n"])
        self._head.load_state_dict(state["h"])
        self._optimiser.load_state_dict(state["o"])
        self._schedule.load_state_dict(state["s"])
        self.iteration, self.log = state["iteration"], state["log"]
        self._rng.bit_generator.state = state["rng"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="directory of the results")
    parser.add_argument("--init", type=Path, help="weights to start from (.pth), or 'shipped'")
    parser.add_argument(
        "--forget", nargs="*", default=[], metavar="LAYER", help="parts of --init to draw again"
    )
    parser.add_argument(
        "--rise", type=float, default=0.1, help="share of iterations of rising rate"
    )
    parser.add_argument(
        "--look-alikes", type=float, default=0.5, help="share of people who come with a look-alike"
    )
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--people", type=int, default=7_000, help="rendered people")
    parser.add_argument("--views", type=int, default=4, help="crops of each, each in a new camera")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 48), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=64, help="crops in a batch")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--contrastive", type=float, default=0.5, help="weight of that loss")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--warm-up", type=int, default=0, help="iterations before it fades in")
    parser.add_argument("--report", type=int, default=100, help="iterations between evaluations")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-bf16", dest="bf16", action="store_false", help="train in fp32")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    return parser.parse_args()


def _initial(path: Path, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The tensors to start from; the shipped extractor's get the statistics of crops of others."""
    if str(path) != "shipped":
        return read_state(path)
    network = network_of(SHIPPED)
    crops = held_out_set(np.random.default_rng(99), size, people=50, cameras=5)[0]
    normalise_by(network, _normalised(crops))
    return dict(network.net.state_dict())


def _crop(
    person: Person, look: CameraLook, rng: np.random.Generator, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """As the daemon sees it: drawn at the camera's size, through JPEG, then resized."""
    drawn = render(person, look, random_pose(look, rng), rng)
    picture = Image.open(io.BytesIO(encode_jpeg(drawn, look)))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _training_set(
    rng: np.random.Generator, args: argparse.Namespace
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops of people in couples; the second of a couple is often a look-alike of the first."""
    views = args.views
    crops = np.empty((args.people * views, *args.size, 3), np.uint8)
    rows = []
    person = random_person(rng)
    for i in range(args.people):
        alike = i % 2 == 1 and rng.random() < args.look_alikes
        person = look_alike(person, rng) if alike else random_person(rng)
        rows.append(person.attributes())
        for v in range(views):
            crops[i * views + v] = _crop(person, random_look(rng), rng, args.size)
        if i % 1000 == 999:
            print(f"rendered {i + 1}/{args.people} people", flush=True)
    values = np.repeat(np.stack(rows), views, axis=0)
    values = (values - values.mean(0)) / (values.std(0) + 1e-6)
    return crops, values.astype(np.float32)


def held_out_set(
    rng: np.random.Generator, size: tuple[int, int], people: int = 200, cameras: int = 6
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    looks = [random_look(rng) for _ in range(cameras)]
    crops, persons, seen_by = [], [], []
    for i in range(people):
        person = random_person(rng)
        for c, look in enumerate(looks):
            crops.append(_crop(person, look, rng, size))
            persons.append(i)
            seen_by.append(c)
    return np.stack(crops), np.array(persons), np.array(seen_by)


def _batch_rows(rng: np.random.Generator, people: int, views: int, batch: int) -> NDArray[np.int64]:
    """All views of whole couples, so that look-alikes meet."""
    couples = rng.choice(people // 2, size=batch // views // 2, replace=False)
    chosen = (couples[:, None] * 2 + np.arange(2)[None, :]).reshape(-1)
    return (chosen[:, None] * views + np.arange(views)[None, :]).reshape(-1)


def _augmented(crops: NDArray[np.uint8], rng: np.random.Generator) -> torch.Tensor:
    out = crops.copy()
    for image in out:
        if rng.random() < 0.5:
            image[:] = image[:, ::-1]
        if rng.random() < 0.3:
            high, wide = image.shape[0], image.shape[1]
            y, x = rng.integers(0, high), rng.integers(0, wide)
            image[y : y + high // 4, x : x + wide // 3] = rng.integers(0, 256, 3)
    return _normalised(out)


def _normalised(crops: NDArray[np.uint8]) -> torch.Tensor:
    mean, std = (np.array(of, np.float32) for of in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = torch.from_numpy((crops.astype(np.float32) / np.float32(255) - mean) / std)
    return pixels.permute(0, 3, 1, 2)


def _contrastive(feature: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    unit = F.normalize(feature, dim=1)
    logits = unit @ unit.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool)
    logits = logits.masked_fill(itself, -1e9)
    log_share = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    same = (labels[:, None] == labels[None, :]) & ~itself
    return -(log_share * same).sum(1).div(same.sum(1).clamp(min=1)).mean()


@torch.no_grad()
def _embed(network: torch.nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    network.eval()
    parts = []
    for i in range(0, len(crops), 100):
        images = _normalised(crops[i : i + 100]).contiguous(memory_format=torch.channels_last)
        parts.append(F.normalize(network(images).float(), dim=1).numpy())
    return np.concatenate(parts)


def retrieval(
    unit: NDArray[np.float32], persons: NDArray[np.int64], cameras: NDArray[np.int64]
) -> tuple[float, float]:
    """Rank-1 and mAP, every crop a query against all crops of other cameras."""
    likeness = unit @ unit.T
    firsts, precisions = [], []
    for q in range(len(unit)):
        rows = np.flatnonzero(cameras != cameras[q])
        order = rows[np.argsort(-likeness[q, rows], kind="stable")]
        hits = persons[order] == persons[q]
        firsts.append(float(hits[0]))
        ranks = np.flatnonzero(hits) + 1
        precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
    return float(np.mean(firsts)), float(np.mean(precisions))


def _write_log(args: argparse.Namespace, log: list[dict[str, float]], seconds: float) -> None:
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    settings.pop("out")
    content = {
        "what": "ResNet-50 trained on rendered people only; held out: 200 people, 6 cameras",
        "settings": settings,
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}",
        "log": log,
    }
    (args.out / "training.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
