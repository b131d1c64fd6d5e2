"""Figures that others printed, to stand beside ours and never among them.

Copied by hand from the works named; nothing here was measured by this project. Rank-1 and mAP in
percent on Market-1501 and DukeMTMC-reID; None where the work printed none.
"""

from __future__ import annotations

from dataclasses import dataclass

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
