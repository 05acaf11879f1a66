"""An hour of mixed load, with memory, file handles, disk and times sampled: what must not grow does not.

    python -m tests.bench.long_run [--minutes 60] [--rate 300] [--out DIR]
    python -m tests.bench.long_run --redraw --out DIR      the table and the picture again, of a run that was recorded

A server as in production (durability commit, a password, a backup every five minutes, no statsd) is given work at a
steady rate: jobs of all kinds by producers and workers that come and go, queues of new names that are removed again,
retries and deaths that operators decide upon, scheduled, unique, expiring and tracked jobs, batches with callbacks,
throttles, cron every minute, MUTATE, pauses, ADMIN, INFO; the pages of the web UI with their forms, the HTTP API, /metrics;
SIGHUP with other settings every minute; wrong passwords, nonsense, half-open connections. What comes in goes out, so every
line should be flat once the first minutes are over (`--warm-up`; a sixth of the run, eleven minutes at most, so that the backups have
their full number).

DIR gets samples.csv while it works, and at the end summary.txt and, with matplotlib (`pip install 'faktory_tw[bench]'`),
long-run.png and .svg. The exit status is 1 if a line grows, a job was lost, or something else was wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.long_run import load
from tests.bench.long_run.inside import LEAKS
from tests.bench.long_run.samples import Probe, Sampler, Table, Values, read_table
from tests.bench.long_run.summary import Account, Report, judgements
from tests.system.server import Server

PASSWORD = "correct-horse-battery"
HANGUP_SECONDS = 60.0
_VANISHING_FROM_SECONDS = 150.0  # in less, the jobs of a worker that vanished do not come back
SETTINGS = """
[backup]
keep = 2
[tracking]
kept_for = "30s"
result_kept_for = "1m"
[batches]
kept_for = "1m"
[queues.reports]
aging = "10s"
[throttles]
bulk = { concurrency = 6, timeout = 60 }
api = { rate = { limit = %d, period = 1, burst = 20 } }
[throttles.tenants]
queue = "tenants"
key = "0.tenant_id"
concurrency = 2
[[cron]]
name = "every-minute"
schedule = "* * * * *"
[cron.job]
type = "Cron"
queue = "cron"
[[cron]]
name = "daily"
schedule = "0 0 * * *"
[cron.job]
type = "Cron"
queue = "cron"
args = [%d]
"""


def configure(server: Server, number: int) -> None:
    """Write the settings, which are others each time."""
    directory = server.config_directory / "conf.d"
    directory.mkdir(exist_ok=True)
    (directory / "long-run.toml").write_text(SETTINGS % (100 + number % 2, number % 2))


@contextmanager
def running(directory: Path, leak: str, seconds: float) -> Iterator[Server]:
    """A server in a directory, which holds it afterwards, and its log."""
    command = [sys.executable, "-m", "tests.bench.long_run.inside", str(directory), leak, str(seconds)]
    server = Server(
        directory,
        password=PASSWORD,
        command=[*command, "-n", "--pidfile=", "faktory"],
        arguments=["-e", "production"],
        environment={"FAKTORY_BACKUP_FREQUENCY": "5m"},
    )
    configure(server, 0)
    try:
        yield server.start()
    finally:
        server.close()
        (directory / "server.log").write_text(server.log())


class Run:
    """One run: the server, the clients, and who measures."""

    def __init__(self, options: argparse.Namespace, server: Server) -> None:
        self._options = options
        self._server = server
        self._seconds = options.minutes * 60
        self.rows: list[Values] = []
        self.error = ""

    def carry_out(self) -> Account:
        """Load and measure for the wanted time; return what came of the jobs."""
        options, server = self._options, self._server
        vanishing = self._seconds > _VANISHING_FROM_SECONDS
        wanted = load.Wanted(
            server.port,
            server.web_port,
            PASSWORD,
            options.rate,
            options.producers,
            options.workers,
            vanishing,
            options.drain,
            options.seed,
        )
        clients, probe = load.Load(wanted), Probe(server)
        try:
            try:
                self._measure(probe, clients)
            except (OSError, RuntimeError, EOFError) as error:
                self.error = f"the run ended early: {error!r}"
            probe.end()
            counts, findings = clients.finish(options.drain + 120)
            findings += [text for text in (self.error, probe.failure) if text]
            return Account.of(server, counts, findings, probe.jobs)
        finally:
            clients.kill()

    def _measure(self, probe: Probe, clients: load.Load) -> None:
        sampler = Sampler(self._server, self._options.out / "inside.json", probe)
        table = Table(self._options.out / "samples.csv")
        began = time.monotonic()
        hangup, hangups = began + HANGUP_SECONDS, 0
        try:
            while (passed := time.monotonic() - began) < self._seconds:
                step = self._options.sample
                time.sleep(max(min(step - passed % step, self._seconds - passed), 0.05))
                row = sampler.take()
                self.rows.append(row)
                table.add(row)
                show(row, clients.counts(), self._seconds)
                if time.monotonic() > hangup:
                    hangup, hangups = hangup + HANGUP_SECONDS, hangups + 1
                    configure(self._server, hangups)
                    self._server.send_signal(signal.SIGHUP)
        finally:
            table.close()
            sys.stderr.write("\n")


def show(row: Values, counts: dict[str, int], seconds: float) -> None:
    """Tell how it goes."""
    sys.stderr.write(
        f"\r{row['seconds'] / 60:5.1f} of {seconds / 60:.0f} min  {counts.get('pushed', 0):,} pushed  "
        f"{counts.get('done', 0):,} done  {counts['open']:,} open  {row['resident_mib']:.1f} MiB  "
        f"{row['processor']:.0f} %  PUSH p99 {row['push_p99']:.1f} ms  wrong: {counts.get('findings', 0)}   "
    )
    sys.stderr.flush()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.long_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=300.0, help="jobs a second, scenes and visitors come on top")
    parser.add_argument("--out", type=Path, required=True, help="an empty directory, or a new one")
    parser.add_argument("--warm-up", type=float, help="minutes at the beginning that are not judged")
    parser.add_argument("--sample", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--drain", type=float, default=240.0, help="seconds for the workers at the end, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leak", choices=LEAKS, default="none", help="what is made to grow, to see that it is found")
    parser.add_argument("--redraw", action="store_true", help="the table and the picture of a run that was recorded")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.warm_up is None:
        options.warm_up = min(options.minutes / 6, 11.0)
    if not options.redraw and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; return the exit status."""
    options = parse(arguments)
    recorded = options.out / "run.json"
    if options.redraw:
        told = json.loads(recorded.read_text())
        rows, account = read_table(options.out / "samples.csv"), Account(**told["account"])
        report = Report(told["title"], judgements(rows, told["warm_up"] * 60), account)
        warm_up = told["warm_up"]
    else:
        with running(options.out, options.leak, min(options.sample, 5.0)) as server:
            run = Run(options, server)
            account = run.carry_out()
        rows, warm_up = run.rows, options.warm_up
        title = f"{options.minutes:g} minutes, {options.rate:g} jobs/s, the first {warm_up:.3g} minutes not judged"
        recorded.write_text(json.dumps({"title": title, "warm_up": warm_up, "account": account._asdict()}))
        report = Report(title, judgements(rows, warm_up * 60), account)
    text = str(report)
    (options.out / "summary.txt").write_text(text + "\n")
    sys.stdout.write(text + "\n")
    draw(options.out, rows, report, warm_up)
    return 1 if report.wrong else 0


def draw(directory: Path, rows: list[Values], report: Report, warm_up: float) -> None:
    """Draw the picture, if there is what draws it."""
    from tests.bench.long_run.plot import Missing, plot  # noqa: PLC0415 - the rest does without matplotlib

    try:
        plot(directory, [row for row in rows if not math.isnan(row["seconds"])], report, warm_up)
    except Missing as missing:
        sys.stderr.write(f"{missing}\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server and the clients are ended, too
    sys.exit(main())
