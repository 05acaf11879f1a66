"""The parts of the long run around its statistic: what is read, what is kept, what is told, and the picture."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.long_run import inside, plot
from tests.bench.long_run.__main__ import main, parse
from tests.bench.long_run.plot import GROUPS, Missing
from tests.bench.long_run.samples import (
    LINES,
    NAMES,
    Table,
    parse_metrics,
    quantile,
    read_table,
    size_of,
)
from tests.bench.long_run.summary import Account, Report, judgements
from tests.bench.long_run.trend import FLAT, GROWS, UNCLEAR

COUNTS = {"pushed": 10, "done": 10, "lost": 0}
HALF_AN_HOUR = 360  # samples


def recorded(directory: Path, counts: dict[str, int], memory_an_hour: float = 0.0) -> None:
    """Write what a run leaves: half an hour of samples, and the account."""
    table = Table(directory / "samples.csv")
    for number in range(HALF_AN_HOUR):
        values = dict.fromkeys(NAMES, 10.0)
        values |= {
            "seconds": number * 5.0,
            "resident_mib": 80 + memory_an_hour * number * 5 / 3600,
            "push_max": math.nan,
        }
        table.add(values)
    table.close()
    account = Account(counts, [("pushed", 10, counts["done"])], [])
    told = {"title": "half an hour", "warm_up": 1.0, "account": account._asdict()}
    (directory / "run.json").write_text(json.dumps(told))


def test_the_text_of_metrics_is_read_with_its_labels() -> None:
    text = '# HELP a b\n# TYPE a gauge\na 1.0\nset_size{set="dead"} 2\nqueue_size{queue="a b"} 3e2\n'
    assert parse_metrics(text) == {"a": 1, 'set_size{set="dead"}': 2, 'queue_size{queue="a b"}': 300}


def test_quantiles_are_values_that_were_measured() -> None:
    assert [quantile([3, 1, 2], share) for share in (0, 0.5, 1)] == [1, 2, 3]
    assert math.isnan(quantile([], 0.5))


def test_sizes_are_those_of_all_files_below_and_nothing_for_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "a").write_bytes(b"12345")
    (tmp_path / "backup" / "b").write_bytes(b"1")
    assert (size_of(tmp_path / "backup"), size_of(tmp_path / "backup" / "a"), size_of(tmp_path / "none")) == (6, 5, 0)


def test_a_row_is_in_the_file_as_soon_as_it_was_measured(tmp_path: Path) -> None:
    table = Table(tmp_path / "samples.csv")
    table.add(dict.fromkeys(NAMES, 1.5) | {"jobs_done": 1_234_567.0, "push_max": math.nan})
    [row] = read_table(tmp_path / "samples.csv")
    table.close()
    assert (row["seconds"], row["jobs_done"]) == (1.5, 1_234_567)
    assert math.isnan(row["push_max"])


def test_every_line_is_measured_and_has_its_place_in_the_picture() -> None:
    assert {line.name for line in LINES} <= set(NAMES)
    assert [sum(line.group == group for line in LINES) for group in GROUPS] == [plot.COLUMNS] * len(GROUPS)


def test_the_warm_up_is_not_judged_and_a_line_without_values_is_left_out() -> None:
    rows = [dict.fromkeys(NAMES, 10.0) | {"seconds": second * 10.0} for second in range(200)]
    for row in rows:
        row["resident_mib"] = min(row["seconds"] / 10, 100)
        row["push_max"] = math.nan
    judged = {line.name: judgement for line, judgement in judgements(rows, 1000)}
    assert judged["resident_mib"].verdict == FLAT
    assert "push_max" not in judged
    assert {line.name: judgement for line, judgement in judgements(rows, 0)}["resident_mib"].verdict == GROWS


def test_times_that_grow_with_those_of_a_program_that_only_sleeps_are_unclear() -> None:
    rows = [dict.fromkeys(NAMES, 10.0) | {"seconds": second * 60.0, "push_p99": 10.0 + second} for second in range(60)]
    assert {line.name: judgement for line, judgement in judgements(rows, 0)}["push_p99"].verdict == GROWS
    for row in rows:
        row["late_p99"] = row["push_p99"] / 2
    assert {line.name: judgement for line, judgement in judgements(rows, 0)}["push_p99"].verdict == UNCLEAR


@pytest.mark.parametrize(
    ("counts", "memory", "status", "last"),
    [
        (COUNTS, 0.0, 0, "nothing grows; jobs lost: 0; all is as it should be"),
        (COUNTS, 20.0, 1, "grows: Resident memory; jobs lost: 0; NOT as it should be"),
        ({**COUNTS, "lost": 1}, 0.0, 1, "nothing grows; jobs lost: 1; NOT as it should be"),
        ({**COUNTS, "done": 9}, 0.0, 1, "nothing grows; jobs lost: 0; NOT as it should be"),
    ],
)
def test_a_line_that_grows_a_lost_job_and_counts_that_differ_are_told_by_the_exit_status(
    tmp_path: Path, counts: dict[str, int], memory: float, status: int, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    recorded(tmp_path, counts, memory)
    assert main(["--redraw", "--out", str(tmp_path)]) == status
    assert (tmp_path / "summary.txt").read_text().splitlines()[-1] == last


def test_a_finding_makes_the_whole_wrong() -> None:
    assert not Report("", [], Account(COUNTS, [], [])).wrong
    assert Report("", [], Account(COUNTS, [], ["something"])).wrong


def test_without_matplotlib_a_sentence_says_how_to_get_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Missing, match=r"Install it \(pip install 'faktory_tw\[bench\]'\), then say: .* --redraw --out"):
        plot.plot(tmp_path, [], Report("", [], Account(COUNTS, [], [])), 1.0)


def test_the_picture_is_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it is there only for who draws")
    recorded(tmp_path, COUNTS)
    assert main(["--redraw", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "long-run.png").read_bytes().startswith(b"\x89PNG")
    assert 1000 < (tmp_path / "long-run.png").stat().st_size < 200_000


def test_a_directory_that_is_not_empty_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(SystemExit):
        parse(["--out", str(tmp_path)])
    assert "is not empty" in capsys.readouterr().err


def test_the_warm_up_is_a_sixth_of_the_run_and_not_longer_than_the_backups_need(tmp_path: Path) -> None:
    def warm_up(*arguments: str) -> float:
        return float(parse(["--out", str(tmp_path / "new"), *arguments]).warm_up)

    assert [warm_up("--minutes", minutes) for minutes in ("6", "60", "600")] == [1, 10, 11]
    assert warm_up("--warm-up", "3") == 3


def test_what_is_made_to_grow_on_purpose_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    handles: list[int] = []
    monkeypatch.setattr(inside, "_kept", kept)
    monkeypatch.setattr(inside, "_handles", handles)
    inside.waste("none", 5)
    assert kept == []
    inside.waste("memory", 5)
    inside.waste("objects", 5)
    assert [len(kept), len(kept[0])] == [101, 20_480]
    inside.waste("handles", 5)
    os.close(handles.pop())
    assert inside.types()["builtins.list"] >= 100
