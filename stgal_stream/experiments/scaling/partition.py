"""Cuts the graph of cameras into parts of like load (METIS); neighbouring parts overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pymetis
from scipy.sparse import csr_array

from stgal_stream.types import Integers, Mask


@dataclass(frozen=True, slots=True)
class Parts:
    """``owner`` (C,) is the part that owns each camera; ``reads`` (P, C) which cameras each part
    reads: its own, and those of other parts that people come from or go to."""

    owner: Integers
    reads: Mask

    @property
    def overlap(self) -> float:
        """How many parts read a camera, on average, less one."""
        return float(self.reads.sum() / len(self.owner) - 1.0)


def partition(graph: csr_array, load: Integers, n_parts: int) -> Parts:
    """``n_parts`` of like ``load`` (C,), so that few people cross from part to part."""
    owner = np.zeros(graph.shape[0], np.int64)
    if n_parts > 1:
        _, found = pymetis.part_graph(
            n_parts,
            pymetis.CSRAdjacency(graph.indptr.tolist(), graph.indices.tolist()),
            vweights=np.maximum(load, 1).tolist(),
            eweights=graph.data.tolist(),
        )
        owner = np.array(found, np.int64)
    reads = owner[None, :] == np.arange(n_parts)[:, None]
    neighbours = graph.tocoo()
    reads[owner[neighbours.row], neighbours.col] = True
    return Parts(owner, reads)
