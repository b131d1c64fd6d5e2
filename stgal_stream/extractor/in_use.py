"""Which extractor a daemon loads: the promoted release, or what is configured, or what ships."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from stgal_stream.errors import DataError, ModelError
from stgal_stream.extractor.onnx import PROVIDERS, SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import Releases

logger = logging.getLogger(__name__)


def load_in_use(
    model: str, releases: str, *, providers: Sequence[str] = PROVIDERS, threads: int | None = None
) -> tuple[OnnxExtractor, str | None]:
    """The extractor, and why a promoted release was refused (None where none was).

    A release that is missing, changed or fails its self-test is refused and what is configured
    runs instead: a camera network without identities is worse than one with older ones.

    Raises:
        ModelError: not even the configured or shipped one can be used.
    """
    refused = None
    if releases:
        try:
            version = Releases(Path(releases)).promoted()
            if version is not None:
                path = Releases(Path(releases)).model(version)
                return OnnxExtractor(path, providers=providers, threads=threads), None
        except (DataError, ModelError) as error:
            refused = str(error)
            logger.error("the promoted release is refused: %s", error)
    path = Path(model) if model else SHIPPED
    return OnnxExtractor(path, providers=providers, threads=threads), refused
