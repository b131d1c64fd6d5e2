"""The figures of a stream's identities, as tables."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from stgal_stream.evaluation.box_quality import BoxQuality
from stgal_stream.evaluation.judged_pairs import Judged, JudgedPairs
from stgal_stream.evaluation.mapping_file import MappingQuality
from stgal_stream.evaluation.share import Share
from stgal_stream.evaluation.stream_quality import StreamQuality


def print_mapping(console: Console, found: MappingQuality) -> None:
    """As first published and after renames."""
    console.print(f"{found.n_mapped} detections mapped, {found.n_truth} in the truth")
    table = Table(title="Identities against the truth")
    for name in ("", "first published", "after renames"):
        table.add_column(name, justify="right" if name else "left")
    first, final = found.first, found.final
    rows: tuple[tuple[str, Callable[[StreamQuality], float]], ...] = (
        ("precision across cameras", lambda q: q.across.precision),
        ("recall across cameras", lambda q: q.across.recall),
        ("F1 across cameras", lambda q: q.across.f1),
        ("precision within a camera", lambda q: q.within.precision),
        ("recall within a camera", lambda q: q.within.recall),
        ("IDF1", lambda q: q.idf1),
        ("AssA (HOTA)", lambda q: q.ass_a),
        ("surplus identities a person", lambda q: q.fragments),
        ("share of mixed identities", lambda q: q.mixed),
    )
    for label, of in rows:
        table.add_row(label, f"{of(first):.3f}", f"{of(final):.3f}")
    table.add_row("identities", str(first.n_identities), str(final.n_identities))
    console.print(table)
    n, shared_first, shared = found.at_once
    console.print(
        f"of {n} pairs of two people in one camera at one time {shared_first} share an identity as "
        f"first published, {shared} after renames"
    )
    if found.decided_after_s is not None:
        p50, p90, p99 = found.decided_after_s
        console.print(f"known after {p50:.1f} s (median), {p90:.1f} s (p90), {p99:.1f} s (p99)")


def print_boxes(console: Console, found: BoxQuality) -> None:
    """Identities of each camera alone and of all together."""
    console.print(
        f"{found.n_given} tracked boxes, {found.n_true} true ones; {found.found:.1%} of the true "
        f"ones were tracked, {found.right:.1%} of the tracked ones are true"
    )
    table = Table(title="Identities against the truth, boxes that overlap by half")
    for name in ("", "IDF1", "IDP", "IDR"):
        table.add_column(name, justify="right" if name else "left")
    for camera, q in (*found.by_camera.items(), ("all cameras together", found.identities)):
        table.add_row(camera, *(f"{value:.3f}" for value in (q.f1, q.precision, q.recall)))
    console.print(table)
    pairs = found.across
    console.print(
        f"pairs of boxes across cameras: precision {pairs.precision:.3f}, recall "
        f"{pairs.recall:.3f}, F1 {pairs.f1:.3f}"
    )


def print_judged(console: Console, found: JudgedPairs) -> None:
    """Before anybody's word on a pair, and in the end."""
    words = found.words
    console.print(
        f"{words.same + words.different} corrections ({words.same} same, {words.different} "
        f"different; {words.refused} of them refused) on {found.n_pairs} pairs of sightings"
    )
    if found.n_unknown:
        console.print(f"{found.n_unknown} more pairs are of sightings that the log does not hold")
    if found.n_unreadable:
        console.print(f"{found.n_unreadable} records could not be read")
    table = Table(title="Pairs that operators judged, with 95 % intervals")
    for name in ("", "before the word", "finally"):
        table.add_column(name, justify="right" if name else "left")
    rows: tuple[tuple[str, Callable[[Judged], Share]], ...] = (
        ("held right, of all", lambda j: j.right),
        ("precision: are one, of those held as one", lambda j: j.precision),
        ("recall: held as one, of those that are one", lambda j: j.recall),
    )
    for label, of in rows:
        table.add_row(label, _with_interval(of(found.before)), _with_interval(of(found.final)))
    console.print(table)
    console.print(
        "Operators judge what looks wrong, so this is no random sample; `stgal-stream audit` takes "
        "one."
    )


def _with_interval(share: Share) -> str:
    if share.share is None:
        return "no pair"
    told = f"{share.share:.3f} ({share.low:.3f} to {share.high:.3f})"
    return f"{told}, {share.right} of {share.n}"
