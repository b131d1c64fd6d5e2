"""The ResNet-50 as torch sees it: architecture and weights. Needs the ``train`` extra."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet50_Weights, resnet50

from stgal_stream.errors import ModelError

EMBEDDING_DIM = 2048
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# What the common re-ID toolkits (torchreid, fast-reid, reid-strong-baseline, TransReID's CNN,
# plain torchvision under DataParallel) put before the names of the backbone's tensors.
_PREFIXES = ("module.", "model.", "backbone.", "base.", "feature_extractor.", "net.", "encoder.")
_CONTAINERS = ("state_dict", "model", "model_state_dict", "net", "network")


class ResNet50(nn.Module):
    """torchvision's ResNet-50 without its classifier: (N, 3, H, W) -> (N, 2048).

    ``last_stride=1`` keeps the last stage at twice the resolution, as re-ID networks do.
    """

    def __init__(self, *, last_stride: int = 1) -> None:
        super().__init__()
        if last_stride not in (1, 2):
            raise ModelError(f"last stride must be 1 or 2, not {last_stride}")
        net = resnet50(weights=None)
        net.fc = nn.Identity()
        if last_stride == 1:
            first = net.layer4[0]
            first.conv2.stride = (1, 1)
            first.downsample[0].stride = (1, 1)
        self.last_stride = last_stride
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features after the last pooling layer."""
        features: torch.Tensor = self.net(images)
        return features


def load_network(weights: str, *, seed: int = 0, last_stride: int = 1) -> ResNet50:
    """A network with ``weights``: ``imagenet``, ``seeded`` or the path of a ``.pth``.

    Raises:
        ModelError: the weights cannot be fetched or read, or are not those of a ResNet-50.
    """
    torch.manual_seed(seed)
    network = ResNet50(last_stride=last_stride)
    if weights == "imagenet":
        network.net.load_state_dict(_imagenet_state(), strict=False)
    elif weights != "seeded":
        network.net.load_state_dict(read_state(Path(weights)), strict=False)
    return network.eval()


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The backbone's tensors in a toolkit's checkpoint, under torchvision's names.

    Raises:
        ModelError: no such file, no checkpoint, or tensors of a ResNet-50 missing from it.
    """
    if not path.is_file():
        raise ModelError(
            f"no weights at {path}", hint="give 'imagenet', 'seeded' or the path of a .pth file"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{path} is not a checkpoint of tensors that can be loaded safely: {error}",
            hint="save the state_dict alone (torch.save(model.state_dict(), path))",
        ) from error
    for name in _CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a state_dict")
    wanted = ResNet50().net.state_dict()
    found: dict[str, torch.Tensor] = {}
    for name, tensor in content.items():
        short = _strip(str(name))
        if short in wanted and isinstance(tensor, torch.Tensor):
            if tensor.shape != wanted[short].shape:
                raise ModelError(
                    f"{path}: {name} has shape {tuple(tensor.shape)}, a ResNet-50's is "
                    f"{tuple(wanted[short].shape)}"
                )
            found[short] = tensor
    missing = [n for n in wanted if n not in found and not n.endswith("num_batches_tracked")]
    if missing:
        raise ModelError(
            f"{path} lacks {len(missing)} of a ResNet-50's {len(wanted)} tensors, {missing[0]} "
            "for one",
            hint="is it another architecture (IBN, OSNet, ViT)?",
        )
    if any(not bool(torch.isfinite(tensor).all()) for tensor in found.values()):
        raise ModelError(f"{path} holds NaN or infinite weights")
    return found


def _strip(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _imagenet_state() -> dict[str, torch.Tensor]:
    try:
        state = ResNet50_Weights.IMAGENET1K_V2.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise ModelError(
            f"the ImageNet weights could not be fetched: {error}",
            hint="fetch resnet50-11ad3fa6.pth on a machine with network and give its path to "
            "--weights",
        ) from error
    return {n: t for n, t in state.items() if not n.startswith("fc.")}
