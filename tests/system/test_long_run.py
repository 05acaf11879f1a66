"""The long run, for seconds: everything that it does works, and client and server agree on every job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.long_run.samples import read_table
from tests.system.server import clean_environment


def test_some_seconds_of_mixed_load_lose_no_job_and_leave_no_row(tmp_path: Path) -> None:
    arguments = [
        "--minutes",
        "0.08",
        "--sample",
        "1",
        "--rate",
        "100",
        "--workers",
        "4",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.long_run", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jobs lost: 0; all is as it should be" in done.stdout
    assert "≠" not in done.stdout
    rows = read_table(tmp_path / "run" / "samples.csv")
    assert len(rows) >= 3
    assert rows[-1]["resident_mib"] > 10
    assert rows[-1]["queues"] >= 4
