"""The picture of a long run: a small panel for each line, a row for each group, all axes from zero.

Pale are the samples, dark the medians of pieces from which the trend is made, dashed is the trend. What came before the
end of the warm-up has a grey ground. Over each panel stand the growth an hour, its interval of 95 %, and the verdict.
"""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.long_run.samples import LINES, Line, Values
from tests.bench.long_run.summary import Report, told
from tests.bench.long_run.trend import FLAT, GROWS, HOUR, UNCLEAR, Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = {"memory": "Process", "disk": "Disk", "times": "Times", "jobs": "Jobs", "kept": "What is kept"}
COLUMNS = 6
_PANEL_INCHES = (3.0, 2.05)
_DPI = 100
_PNG_COLOURS = 96  # so few make the file a third as large
_PALE, _DARK, _TREND, _GROUND, _TEXT = "#a9c3d9", "#1f5f8b", "#c2571a", "#f0efec", "#333333"
_DOTTED = "Dotted, beside times: how late the machine woke a program that only sleeps.  "
_CONTROL = "#77736b"
_COLOURS = {FLAT: "#2d7d46", GROWS: "#c0202a", UNCLEAR: "#8a6d1b"}


class Missing(Exception):
    """What draws is not installed."""


def plot(directory: Path, rows: list[Values], report: Report, warm_up: float) -> None:
    """Write long-run.png and long-run.svg. `warm_up` is in minutes."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only who draws needs it
        from matplotlib.figure import Figure  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415 - matplotlib brings it
    except ImportError:
        raise Missing(
            "No picture was drawn, because matplotlib is missing. Install it (pip install 'faktory_tw[bench]'), then say: "
            f"python -m tests.bench.long_run --redraw --out {directory}"
        ) from None
    wide, high = _PANEL_INCHES
    figure = Figure(figsize=(wide * COLUMNS, high * len(GROUPS) + 1.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(GROUPS), COLUMNS, sharex=True)
    judged = {line.name: judgement for line, judgement in report.judged}
    for (group, name), panels in zip(GROUPS.items(), axes, strict=True):
        lines = [line for line in LINES if line.group == group]
        for axis, line in zip(panels, lines, strict=True):
            draw_panel(axis, line, rows, judged.get(line.name), warm_up)
        panels[0].annotate(
            name,
            (-0.3, 0.5),
            xycoords="axes fraction",
            rotation=90,
            va="center",
            ha="right",
            fontsize=13,
            weight="bold",
        )
    for axis in axes[-1]:
        axis.set_xlabel("minutes", fontsize=8, color=_TEXT)
    counts = report.account.counts
    figure.suptitle(
        f"{report.title}\n{counts.get('pushed', 0):,} jobs pushed, {counts['lost']:,} lost;  "
        f"of {len(report.judged)} lines {len(report.growing) or 'none'} grows",
        fontsize=14,
        color=_TEXT,
    )
    figure.supxlabel(
        "Pale: samples.  Dark: what is judged (medians; of Python's blocks and objects the lowest in three minutes).  "
        "Dashed: trend (Theil–Sen), with its growth and the interval of 95 %.\n"
        f"{_DOTTED if measured_controls(rows) else ''}Grey: warm-up, not judged.  All axes begin at zero.",
        fontsize=9,
        color=_TEXT,
    )
    figure.savefig(directory / "long-run.svg")
    drawn = BytesIO()
    figure.savefig(drawn, dpi=_DPI)
    Image.open(drawn).convert("RGB").quantize(_PNG_COLOURS).save(directory / "long-run.png", optimize=True)


def draw_panel(axis: Axes, line: Line, rows: list[Values], judgement: Judgement | None, warm_up: float) -> None:
    """Draw one line."""
    points = [(row["seconds"] / 60, row[line.name]) for row in rows if not math.isnan(row[line.name])]
    axis.set_title(f"{line.title}{f' ({line.unit})' if line.unit else ''}\n", fontsize=9, weight="bold", color=_TEXT)
    style(axis)
    if not points or judgement is None:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", fontsize=8)
        return
    minutes, values = zip(*points, strict=True)
    axis.axvspan(0, warm_up, color=_GROUND, lw=0)
    axis.plot(minutes, values, color=_PALE, lw=0.7)
    if line.control:
        idle = [(row["seconds"] / 60, row[line.control]) for row in rows]
        axis.plot(*zip(*idle, strict=True), color=_CONTROL, lw=0.8, ls=":")
    judged = [point for point in points if point[0] >= warm_up]
    axis.plot([second / 60 for second, _ in judgement.points], [y for _, y in judgement.points], color=_DARK, lw=1.3)
    middle = (judged[0][0] + judged[-1][0]) / 2
    ends = (judged[0][0], judged[-1][0])
    slope = judgement.trend.slope * 60 / HOUR
    axis.plot(ends, [judgement.median + slope * (end - middle) for end in ends], color=_TREND, lw=1.2, ls=(0, (5, 3)))
    axis.set_xlim(0, minutes[-1])
    axis.set_ylim(0, max(max(values) * 1.12, 1e-9))
    axis.text(
        0.5,
        1.03,
        growth(judgement, line.unit),
        transform=axis.transAxes,
        ha="center",
        fontsize=7.5,
        color=_COLOURS[judgement.verdict],
    )


def measured_controls(rows: list[Values]) -> bool:
    """Whether there is anything to be seen beside the times."""
    return any(line.control and not math.isnan(row[line.control]) for line in LINES for row in rows)


def growth(judgement: Judgement, unit: str) -> str:
    """Return the trend in words."""
    found = judgement.trend
    if not math.isfinite(found.low):
        return judgement.verdict
    unit = f" {unit}" if unit and unit != "%" else unit
    sign = "+" if found.slope > 0 else ""
    return f"{sign}{told(found.slope)}{unit} an hour ({told(found.low)} to {told(found.high)}): {judgement.verdict}"


def style(axis: Any) -> None:
    """Leave out what is not needed to read it."""
    axis.tick_params(labelsize=7.5, colors=_TEXT, length=2)
    axis.grid(axis="y", color="#e4e2dd", lw=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#9a9893")
