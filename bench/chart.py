"""The chart of the document: what was measured of xfer and of its peers, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from bench.cases.upload import DISK, MD5SUM
from bench.figures import Figure
from bench.report import Record, number

PANELS = (
    ("upload", "", "s", "1 GiB up, seconds: less is better"),
    ("download", "", "s", "1 GiB down, seconds: less is better"),
    ("small", "up: ", "files/s", "4 KiB files up, files/s: more is better"),
    ("small", "down: ", "files/s", "4 KiB files down, files/s: more is better"),
)
"""The case, how the labels begin and which unit the figures have, the title."""

OURS, YARDSTICK, PEERS = "#1f6f8b", "#9a9a9a", "#d9b26f"


def draw(records: Mapping[str, Record], path: Path) -> None:
    """Draw what there is; the same figures give the same file."""
    matplotlib.use("svg")
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "xfer", "font.family": "sans-serif"}
    from matplotlib import pyplot

    panels = [(title, bars) for *which, title in PANELS if (bars := _bars(records, *which))]
    if not panels:
        return
    with matplotlib.rc_context(settings):
        heights = [len(bars) + 1 for _, bars in panels]
        figure, axes = pyplot.subplots(
            len(panels),
            figsize=(8, 0.3 * sum(heights) + 0.4),
            squeeze=False,
            layout="constrained",
            gridspec_kw={"height_ratios": heights},
        )
        for (title, bars), area in zip(panels, axes[:, 0], strict=True):
            _draw_panel(area, title, bars)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines))


def _bars(
    records: Mapping[str, Record], case: str, prefix: str, unit: str
) -> Sequence[tuple[str, Figure]]:
    if case not in records:
        return []
    return [
        (figure.label.removeprefix(prefix), figure)
        for figure in records[case].result.figures
        if figure.label.startswith(prefix) and figure.unit == unit
    ]


def _draw_panel(area: Any, title: str, bars: Sequence[tuple[str, Figure]]) -> None:
    labels = [label for label, _ in bars]
    values = [figure.median for _, figure in bars]
    low = [figure.median - min(figure.values) for _, figure in bars]
    high = [max(figure.values) - figure.median for _, figure in bars]
    colours = [
        OURS if label.startswith("xfer") else YARDSTICK if label in (MD5SUM, DISK) else PEERS
        for label in labels
    ]
    drawn = area.barh(labels, values, xerr=[low, high], color=colours, ecolor="#444444")
    area.bar_label(drawn, [number(value) for value in values], padding=4, fontsize=8)
    area.invert_yaxis()
    area.margins(x=0.12)
    area.set_title(title, loc="left", fontsize=10)
    area.tick_params(labelsize=8)
    area.spines[["top", "right"]].set_visible(False)
