"""What a long run found: every line with its verdict, what became of the jobs, and whether client and server agree."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.long_run.samples import LINES, Line, Values, parse_metrics, scrape
from tests.bench.long_run.trend import GROWS, UNCLEAR, Judgement, judge
from tests.system.server import Server

Judged = list[tuple[Line, Judgement]]
_TABLES = ("jobs", "places", "journal")
_OUTLIVES = ("cron", "throttles", "track", "result", "batch")  # what may stay when all jobs are over


def judgements(rows: Sequence[Values], warm_up_seconds: float) -> Judged:
    """Judge every line, without the warm-up. A line that was never measured is left out.

    Of a line that grows together with its control it is unclear whose fault that is.
    """
    rows = [row for row in rows if row["seconds"] >= warm_up_seconds]
    judged = []
    for line in LINES:
        judgement = judge_one(rows, line.name, line)
        if judgement is None:
            continue
        if judgement.verdict == GROWS and line.control:
            control = judge_one(rows, line.control, line)
            if control is not None and control.trend.low > 0:
                judgement = judgement._replace(verdict=UNCLEAR)
        judged.append((line, judgement))
    return judged


def judge_one(rows: Sequence[Values], name: str, line: Line) -> Judgement | None:
    """Judge one column as `line` is to be judged; None if nothing was measured."""
    points = [(row["seconds"], row[name]) for row in rows if not math.isnan(row[name])]
    if not points:
        return None
    times, values = zip(*points, strict=True)
    return judge(times, values, line.share, line.floor, line.by_lowest)


class Account(NamedTuple):
    """What became of the jobs: counts of the clients, equations between them and the server, what is wrong."""

    counts: dict[str, int]
    equations: list[tuple[str, float, float]]
    findings: list[str]

    @classmethod
    def of(cls, server: Server, counts: dict[str, int], findings: list[str], probed: int) -> Account:
        """Compare with what the server has counted and what is in its database after it has stopped."""
        metrics = parse_metrics(scrape(server))
        number = counts.get
        pushed = number("pushed", 0) + number("callbacks", 0) + probed
        over = sum(number(how, 0) for how in ("done", "dropped", "removed", "expired"))
        taken_back = metrics["faktory_jobs_taken_back_total"]
        equations = [
            ("pushed and callbacks = over and lost", pushed - probed, over + counts["lost"]),
            (
                "pushed: clients and cron, server",
                pushed + number("cron jobs done", 0),
                metrics["faktory_jobs_pushed_total"],
            ),
            ("expired: clients, server", number("expired", 0), metrics["faktory_jobs_expired_total"]),
            (
                "failed: clients and taken back, server",
                number("failed", 0) + taken_back,
                metrics["faktory_jobs_failed_total"],
            ),
            ("left with a job: clients, taken back", number("left with a job", 0), taken_back),
        ]
        for name in ("scheduled", "retries", "dead", "working"):
            equations.append((f"{name} at the end, none", metrics[f'faktory_set_size{{set="{name}"}}'], 0))
        equations.append(("exit status of the server, 0", server.stop(), 0))
        equations += rows_left(server)
        return cls(counts, equations, findings)


def rows_left(server: Server) -> list[tuple[str, float, float]]:
    """What a stopped server has left in its database."""
    connection = sqlite3.connect(server.data_directory / "faktory.db")
    try:
        left = [
            (f"rows in {table} at the end, none", connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0], 0)
            for table in _TABLES
        ]
        kinds = dict(connection.execute("SELECT kind, count(*) FROM entries GROUP BY kind"))
        others = sum(count for kind, count in kinds.items() if kind not in _OUTLIVES)
        return [*left, ("locks, expiries and such at the end, none", others, 0)]
    finally:
        connection.close()


class Report(NamedTuple):
    """All of it; `str` is the table."""

    title: str
    judged: Judged
    account: Account

    @property
    def growing(self) -> list[str]:
        """The lines that grow."""
        return [line.title for line, judgement in self.judged if judgement.verdict == GROWS]

    @property
    def wrong(self) -> bool:
        """Whether anything grows, was lost, or does not fit."""
        unequal = any(left != right for _, left, right in self.account.equations)
        return bool(self.growing or unequal or self.account.counts["lost"] or self.account.findings)

    def __str__(self) -> str:
        head = (
            f"{'line':<34}{'unit':<9}{'start':>9}{'end':>9}{'median':>9}{'an hour':>10}{'  of 95 %':<22}{'allowed':>9}"
            "  verdict"
        )
        parts = [self.title, "", head, *(row(line, judgement) for line, judgement in self.judged), ""]
        parts += [f"{count:>12,}  {name}" for name, count in sorted(self.account.counts.items())]
        parts += ["", *(equation(*each) for each in self.account.equations)]
        parts += ["", *(f"WRONG: {text}" for text in self.account.findings)]
        grows = f"grows: {', '.join(self.growing)}" if self.growing else "nothing grows"
        lost = self.account.counts["lost"]
        parts.append(f"{grows}; jobs lost: {lost}; {'NOT as it should be' if self.wrong else 'all is as it should be'}")
        return "\n".join(parts)


def told(value: float) -> str:
    """Return a value with two digits or more, and without an exponent."""
    if abs(value) >= 100 or not math.isfinite(value):
        return f"{value:,.0f}"
    text = f"{value:.{2 if abs(value) < 10 else 1}f}"
    return text.rstrip("0").rstrip(".").replace("-0", "0") if float(text) == 0 else text


def row(line: Line, judgement: Judgement) -> str:
    """A row of the table."""
    found = judgement.trend
    between = f"  {told(found.low)} to {told(found.high)}"
    return (
        f"{line.title:<34}{line.unit:<9}{told(judgement.start):>9}{told(judgement.end):>9}"
        f"{told(judgement.median):>9}{found.slope:>+10.3g}{between:<22}{told(judgement.allowed):>9}"
        f"  {judgement.verdict}"
    )


def equation(what: str, left: float, right: float) -> str:
    """A line that says whether two counts are equal."""
    return f"{left:>12,.0f} {'=' if left == right else '≠'} {right:<12,.0f} {what}"
