"""Figures that others printed, to stand beside ours and never among them.

Copied by hand from the works named; nothing here was measured by this project. Rank-1 and mAP in
percent on Market-1501 and DukeMTMC-reID; None where the work printed none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Figures = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Printed:
    """A method, where it was printed, and (rank-1, mAP) by data set."""

    method: str
    source: str
    market1501: Figures
    duke: Figures

    def on(self, dataset: str) -> Figures:
        """The figures on a data set; nothing for one that is not among them."""
        return {"market1501": self.market1501, "duke": self.duke}.get(dataset, (None, None))


PRINTED = (
    Printed("BOW", "Zheng et al., ICCV 2015", (35.8, 14.8), (17.1, 8.3)),
    Printed("PUL", "Fan et al., TOMM 2018", (45.5, 20.5), (30.0, 16.4)),
    Printed("SPGAN", "Deng et al., CVPR 2018", (51.5, 22.8), (41.1, 22.3)),
    Printed("TFusion", "Lv et al., CVPR 2018", (60.8, None), (None, None)),
    Printed("TAUDL", "Li et al., ECCV 2018", (63.7, 41.2), (61.7, 43.5)),
    Printed("BUC", "Lin et al., AAAI 2019", (66.2, 38.3), (47.4, 27.5)),
    Printed("ARN", "Li et al., CVPRW 2018", (70.3, 39.4), (60.2, 33.4)),
    Printed("ECN", "Zhong et al., CVPR 2019", (75.1, 43.0), (63.3, 40.4)),
)

# ST-GAL itself (Wu et al., ICIP 2020): what P_a adds to P_v on Market-1501, in points.
PAPER_GAIN_MARKET = (21.0, 15.1)

# And what its training adds to P_v there.
PAPER_TRAINING_GAIN_MARKET = 20.6


def printed_as_json(dataset: str) -> dict[str, Any]:
    """All of it for one data set, as fractions: the cited works and, on Market-1501, what ST-GAL
    gained by P_a over P_v and by training over its baseline."""
    works = {p.method: p.on(dataset) for p in PRINTED}
    found: dict[str, Any] = {
        "works": {
            name: {
                key: None if v is None else v / 100
                for key, v in zip(("rank1", "mAP"), figures, strict=True)
            }
            for name, figures in works.items()
        }
    }
    if dataset == "market1501":
        rank1, mean = PAPER_GAIN_MARKET
        found["st_gal_gain"] = {
            "p_a_over_p_v": {"rank1": rank1 / 100, "mAP": mean / 100},
            "training": {"rank1": PAPER_TRAINING_GAIN_MARKET / 100},
        }
    return found
