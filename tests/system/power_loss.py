"""Cut the power at every moment of a server's life, on paper, and look at what is left on the disk each time.

    python -m tests.system.power_loss --cuts 3000 --seed 1

A server works through a short life (`live`): jobs are pushed, fetched, acknowledged and fail, backups are made, it is
killed, started, stopped, and a backup is restored. Everything it asks of the disk is recorded (recorder.py), and so is
what its clients were told (said.py). Some jobs are unique, expire, are tracked or in batches, one queue has a throttle; what is
kept of that has to fit the jobs in each of the directories (traits/). Its log is small (small_log.py), so that checkpoints and new beginnings of the log
are many. Then the disk is thought through (disk_model.py): for moments of the recording the directory is built as it could be
after a power cut, in three ways: with nothing but what was synced; with everything that was asked; with some of it,
torn. Each of them is opened and has to hold everything that was acknowledged, nothing that was finished, sound files,
and every backup that was reported as made. It ends with a table, and with status 1 if anything is wrong.

`--lying`: the disk forgets its syncs. `--durability os`: the server does without. Both must be found out.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faktory_tw.core.manager import JobManager
from faktory_tw.storage.backup import BackupError, list_backups, verify
from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import StoreError
from tests.system.disk_model import Chance, Disk, write_image
from tests.system.fwp import Client, ConnectionEnded, Job, job
from tests.system.ledger import Verdict
from tests.system.recorder import Kind, Record, Recorder
from tests.system.said import Era, Said
from tests.system.server import Server, clean_environment
from tests.system.small_log import make_small
from tests.system.torture import compare_counts, read_rows, say, table
from tests.system.traits.batches import KINDS, new_batch
from tests.system.traits.trait import write_settings
from tests.unit.doubles import Engine

CONNECTIONS = 4
SYNC_DELAY_MS = "0.5"
RESTORE_SECONDS = 60.0
WAYS = ("synced only", "all that was asked", "some of it, torn")
THROTTLES = "[throttles]\nload-0 = { concurrency = 10_000, rate = { limit = 500, period = 1 } }\n"
QUIET_KINDS = (Kind.WRITE, Kind.SYNC_BEGINS, Kind.SYNC_ENDS)


@dataclass
class Life:
    """What is known of a recorded life. `backups`: when each was reported as made, and its name."""

    records: list[Record]
    eras: list[Era]
    backups: list[tuple[int, str]]
    data_directory: Path
    stages: dict[str, int] = field(default_factory=dict)  # when each began


class Load:
    """Connections that push, fetch, acknowledge and fail, `rounds` times each or longer, or until they are cut off."""

    def __init__(self, server: Server, said: Said, stage: str, seed: int) -> None:
        self._server = server
        self._said = said
        self._stage = stage
        self._seed = seed
        self._released = threading.Event()
        self.failures: list[str] = []

    def run(self, rounds: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run it to its end, which comes after that of `meanwhile` in this thread; a kill in there ends it."""
        threads = [threading.Thread(target=self._watch, args=(number, rounds)) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        try:
            meanwhile()
        finally:
            self._released.set()
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                self.failures.append("a client did not end")

    def _watch(self, number: int, rounds: int) -> None:
        try:
            with self._server.client(wid=f"load-{self._stage}-{number}", timeout=60.0) as client:
                self._converse(client, f"{self._stage}-{number}", random.Random(f"{self._seed} {number}"), rounds)
        except (ConnectionEnded, ConnectionError):
            return  # killed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.failures.append(repr(error))

    def _converse(self, client: Client, name: str, rng: random.Random, rounds: int) -> None:
        queue, count, bid = f"load-{name.rpartition('-')[2]}", 0, ""
        while rounds > 0 or not self._released.is_set():
            rounds -= 1
            bid = self._batch(client, f"{name}-{count:05}", queue, bid, rng)
            jobs = [make_job(f"{name}-{count + n:05}", queue, bid, rng) for n in range(rng.choice((1, 1, 1, 2, 12)))]
            count += len(jobs)
            jids = [pushed["jid"] for pushed in jobs]
            if len(jobs) == 1:
                self._said.say("PUSH", jids, client.push, jobs[0])
            else:
                self._said.say("PUSH", jids, client.pushb, jobs)
            while rng.random() < 0.6 and (fetched := client.command(f"FETCH {queue}")).type == "bulk":
                jid = job_id(fetched.value)
                verb = rng.choice(("ACK", "ACK", "ACK", "FAIL", ""))
                if b'"track":1' in fetched.value:
                    client.do("TRACK SET", {"jid": jid, "percent": rng.randrange(101), "desc": "x", "result": [count]})
                if verb:
                    self._said.say(verb, [jid], client.ack if verb == "ACK" else client.fail, jid)
                if rng.random() < 0.5:
                    break

    def _batch(self, client: Client, name: str, queue: str, bid: str, rng: random.Random) -> str:
        """Now and then commit the batch and begin another one; return its bid."""
        if bid and rng.random() < 0.8:
            return bid
        if bid:
            client.do(f"BATCH COMMIT {bid}")
        asked = {kind: {"jid": f"{name}-{kind}", "jobtype": kind, "queue": queue} for kind in KINDS}
        self._said.owed |= {callback["jid"] for callback in asked.values()}
        return new_batch(client, asked)


def job_id(body: bytes) -> str:
    """Return the jid of a job as it was delivered."""
    return body.partition(b'"jid":"')[2].partition(b'"')[0].decode(errors="replace")


def make_job(jid: str, queue: str, bid: str, rng: random.Random) -> Job:
    """Return a job: mostly small, now and then of several pages; some are scheduled, or ask something of the features."""
    size = rng.choice((10, 200, 200, 3000, 9000))
    fields: Job = {"jid": jid, "queue": queue, "priority": rng.choice((1, 5, 5, 9))}
    if rng.random() < 0.1:
        fields["at"] = "2099-01-01T00:00:00Z"
    if rng.random() < 0.4:
        fields["custom"] = rng.choice(({"unique_for": 86400}, {"expires_in": 86400}, {"track": 1}, {"bid": bid}))
    return job("Load", jid, "x" * size, **fields)


class Recording:
    """One life, being recorded in `directory`."""

    def __init__(self, directory: Path, rounds: int, seed: int, durability: str = "commit") -> None:
        workshop, disk = directory / "workshop", directory / "disk"
        for path in (workshop, disk):
            path.mkdir(parents=True)
        self.recorder = Recorder.build(workshop, disk)
        command = [sys.executable, "-m", "tests.system.small_log", "-n", "--pidfile=", "faktory"]
        self.server = Server(workshop / "server", command=command, arguments=["--durability", durability])
        self.server.data_directory = disk / "data"  # made by the server
        self.server.data_option = str(self.server.data_directory)
        self.server.environment.update(self.recorder.environment, RECORD_SYNC_DELAY_MS=SYNC_DELAY_MS)
        write_settings(self.server, "throttles.toml", THROTTLES)
        self.said = Said()
        self.backups: list[tuple[int, str]] = []
        self.stages: dict[str, int] = {}
        self.failures: list[str] = []
        self._rounds = rounds
        self._seed = seed

    def live(self) -> Life:
        """See the module's docstring."""
        first = Era(self.said, time.monotonic_ns())
        try:
            self._stage("first start and load", lambda: self._load("a", self._rounds, self._kill_after_backup))
            self._stage("start after a kill, and load", lambda: self._load("b", self._rounds // 2, self._back_up))
            self._stage("stop", lambda: self._expect(self.server.stop(), "SIGTERM"))
            self._stage("start after a stop, and load", lambda: self._load("c", self._rounds // 4))
            self.server.kill()
            first_end = time.monotonic_ns()
            self._stage("restore", self._restore)
            first.ends = time.monotonic_ns()
            second = Era(self.said, first_end, base=self._restored())
            self._stage("start after a restore, and load", lambda: self._load("d", self._rounds // 4))
            self._stage("last stop", lambda: self._expect(self.server.stop(), "SIGTERM"))
        finally:
            self.server.close()
        records = self.recorder.records()
        return Life(records, [first, second], self.backups, self.server.data_directory, self.stages)

    def _stage(self, name: str, work: Callable[[], object]) -> None:
        self.stages[name] = time.monotonic_ns()
        work()

    def _load(self, stage: str, rounds: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.server.start()
        load = Load(self.server, self.said, stage, self._seed)
        load.run(rounds, meanwhile)
        self.failures += load.failures

    def _expect(self, status: int, what: str) -> None:
        if status:
            self.failures.append(f"{what}: status {status}\n{self.server.log()[-2000:]}")

    def _back_up(self) -> None:
        time.sleep(0.1)
        with self.server.client(timeout=60.0) as client:
            name = client.do("ADMIN BACKUP", {})["name"]
        self.backups.append((time.monotonic_ns(), name))

    def _kill_after_backup(self) -> None:
        self._back_up()
        time.sleep(0.1)
        self.server.kill()

    def _restore(self) -> None:
        command = [
            sys.executable,
            "-m",
            "faktory_tw.cli",
            "restore",
            "latest",
            "--yes",
            "-d",
            str(self.server.data_directory),
        ]
        environment = clean_environment(self.server.environment)
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=RESTORE_SECONDS, check=False
        )
        if result.returncode:
            self.failures.append(f"restore: {result.stdout}{result.stderr}")

    def _restored(self) -> dict[str, int]:
        """The jobs of the backup that was restored, and how often each had failed."""
        copy = self.server.working_directory / "restored.db"
        shutil.copyfile(self.server.data_directory / "backups" / self.backups[-1][1], copy)
        return {row.jid: row.failures for row in read_rows(copy, Verdict())}


class Opened(Engine):
    """A job manager on a directory that a power cut left."""

    def start(self) -> None:
        """As the server does it, without its socket."""
        self.store = SQLiteStore(self.directory, "commit")
        self.manager = JobManager(self.store, self.clock, self.dice, self.limits, self.features())
        self.manager.load()
        self._running = True


class Examiner:
    """Opens directories as a power cut leaves them, and compares them with what is known."""

    def __init__(self, life: Life, workshop: Path, seed: int, lying: bool = False) -> None:
        self.life = life
        self.verdict = Verdict()
        self.figures: Counter[str] = Counter()
        self._workshop = workshop
        self._rng = random.Random(seed)
        self._lying = lying
        self._count = 0

    def run(self, moments: Iterable[int], starts: int, quiet: bool = True) -> None:
        """Cut the power before each of these records; let a real server start on `starts` of the directories."""
        chosen = sorted(set(moments))
        started = set(self._rng.sample(chosen, min(starts * len(WAYS), len(chosen))))
        disk = Disk(self.life.data_directory.parent, self._lying)
        fed = 0
        for number, moment in enumerate(chosen):
            while fed < moment:
                disk.feed(self.life.records[fed])
                fed += 1
            self._cut(disk, self.life.records[moment].time, moment in started)
            if not quiet:
                say(f"\r{number + 1}/{len(chosen)} moments", end="")
        if not quiet:
            say("")

    def _cut(self, disk: Disk, moment: int, start: bool) -> None:
        for way in WAYS:
            rng = self._rng if way == WAYS[2] else None
            image = disk.image(Chance(rng, everything=way == WAYS[1]))
            self._count += 1
            directory = self._workshop / f"cut{self._count}"
            write_image(image, disk.directory, directory)
            data = directory / self.life.data_directory.name
            where = f"{self._stage(moment)}, {way}"
            self.figures[f"directories: {way}"] += 1
            self._examine_backups(data, moment, where)
            if start and self._rng.random() < 1 / len(WAYS):
                self._start_server(directory, where)
            self._examine(data, moment, where)
            shutil.rmtree(directory)

    def _stage(self, moment: int) -> str:
        return max((begins, name) for name, begins in self.life.stages.items() if begins <= moment)[1]

    def _examine(self, data: Path, moment: int, where: str) -> None:
        """Open it as the server does, and close it; compare the rows with what memory held, and with what is known."""
        try:
            engine = Opened(data)
            sizes = engine.sizes()
            engine.stop()
        except (StoreError, OSError, ValueError, LookupError) as error:
            self.verdict.find(f"does not start: {where}", repr(error))
            return
        problems = Verdict()
        rows = read_rows(data / "faktory.db", problems)
        have = Counter(row.place for row in rows)
        if any(have[place] != size for place, size in sizes.items()):
            problems.find("memory and rows disagree", f"{sizes} {have}")
        for kind, found in problems.wrong.items():
            self.verdict.find(f"{kind}: {where}", "; ".join(found))
        eras = [era for era in self.life.eras if era.begins <= moment <= era.ends]
        wrong = [era.complaints(moment, rows) for era in eras]
        self.figures["acknowledgements that were to be kept"] += min(era.acknowledged(moment) for era in eras)
        self.figures["jobs found"] += len(rows)
        for complaint in min(wrong, key=len):
            kind, _, what = complaint.partition(": ")
            self.verdict.find(f"{kind}: {where}", what)

    def _examine_backups(self, data: Path, moment: int, where: str) -> None:
        """Those that were reported are there; those that are listed as verified are whole."""
        listed = {backup.name: backup for backup in list_backups(data / "backups")}
        made = [name for reported, name in self.life.backups if reported <= moment]
        for name in made:
            if name not in listed:
                self.verdict.find(f"a backup that was made is gone: {where}", name)
        for backup in listed.values():
            try:
                verify(backup.path)
            except BackupError as error:
                self.verdict.find(f"a backup is listed and not whole: {where}", str(error))
            if backup.name in made and not backup.verified:
                self.verdict.find(f"a backup has lost what was known of it: {where}", backup.name)
        self.figures["backups verified"] += len(listed)

    def _start_server(self, directory: Path, where: str) -> None:
        """Start and stop the real one; INFO and the rows must agree. What it leaves is examined like the rest."""
        server = Server(directory)
        server.command = [sys.executable, "-m", "tests.system.small_log", "-n", "--pidfile=", "faktory"]
        problems = Verdict()
        try:
            server.start()
            with server.client() as client:
                info = client.info()["faktory"]
            if status := server.stop():
                problems.find("SIGTERM was answered with a status", f"{status}\n{server.log()[-2000:]}")
            compare_counts(info, read_rows(server.data_directory / "faktory.db", problems), problems)
        except AssertionError as error:
            problems.find("the server does not start", str(error))
        finally:
            server.close()
        self.figures["real servers started"] += 1
        for kind, found in problems.wrong.items():
            self.verdict.find(f"{kind}: {where}", "; ".join(found))


def choose_moments(life: Life, count: int, rng: random.Random) -> list[int]:
    """Return so many numbers of records: the rare ones and their neighbours first, then any.

    Rare are changes of names, and syncs and writes of anything but the write-ahead log.
    """
    rare: set[int] = set()
    for number, record in enumerate(life.records):
        if record.kind not in QUIET_KINDS or not record.path.endswith("-wal"):
            rare |= {number, min(number + 1, len(life.records) - 1)}
    chosen = rng.sample(sorted(rare), min(len(rare), count // 2))
    rest = sorted(set(range(len(life.records))) - set(chosen))
    return chosen + rng.sample(rest, min(len(rest), count - len(chosen)))


def check_recording(life: Life) -> list[str]:
    """Return in what the disk of the recording's end differs from the real one: a hole in it would accuse the server."""
    disk = Disk(life.data_directory.parent)
    for record in life.records:
        disk.feed(record)
    image = disk.image(Chance(everything=True))
    real = {str(path): path for path in life.data_directory.rglob("*")}
    names = {path for path in real if not path.endswith(("-shm", "/reserve"))}
    modelled = {path for path in image if not path.endswith(("-shm", "/reserve")) and path != str(life.data_directory)}
    differences = [f"names: {sorted(names ^ modelled)}"] if names != modelled else []
    return differences + [
        path for path in names & modelled if real[path].is_file() and real[path].read_bytes() != image[path]
    ]


def power_loss(
    directory: Path,
    *,
    cuts: int,
    starts: int,
    rounds: int,
    seed: int,
    durability: str = "commit",
    lying: bool = False,
    quiet: bool = True,
) -> Examiner:
    """Record a life below `directory`, cut the power `cuts` times, and return what was found."""
    make_small()
    recording = Recording(directory, rounds, seed, durability)
    life = recording.live()
    examiner = examine(life, cuts=cuts, starts=starts, seed=seed, lying=lying, quiet=quiet)
    for failure in recording.failures:
        examiner.verdict.find("a client or a command failed", failure)
    for difference in check_recording(life):
        examiner.verdict.find("the recording is not complete", difference)
    return examiner


def examine(life: Life, *, cuts: int, starts: int, seed: int, lying: bool = False, quiet: bool = True) -> Examiner:
    """Cut the power of a recorded life so many times."""
    memory = Path("/dev/shm")  # nothing there needs a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as workshop:
        examiner = Examiner(life, Path(workshop), seed, lying)
        examiner.run(choose_moments(life, cuts, random.Random(seed)), starts, quiet)
    kinds = Counter(record.kind for record in life.records)
    examiner.verdict.figures = {
        "commands answered": sum(era.acknowledged(life.records[-1].time) for era in life.eras[:1]),
        "records": len(life.records),
        **{f"... {kind.name.lower().replace('_', ' ')}": kinds[kind] for kind in Kind},
        "... syncs of the database": sum(
            r.kind == Kind.SYNC_ENDS and r.path.endswith("faktory.db") for r in life.records
        ),
        "backups made": len(life.backups),
        **examiner.figures,
    }
    return examiner


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=2000, help="moments; each gives three directories")
    parser.add_argument("--starts", type=int, default=20, help="of the moments: let a real server start, too")
    parser.add_argument("--rounds", type=int, default=200, help="how much each of the clients does in the first life")
    parser.add_argument("--seed", type=int, default=1, help="of the jobs and of what is left; threads still race")
    parser.add_argument("--durability", choices=("commit", "second", "os"), default="commit")
    parser.add_argument("--lying", action="store_true", help="a disk that forgets its syncs")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        verdict = power_loss(Path(directory), **vars(options), quiet=False).verdict
    say(table(verdict, time.monotonic() - started))
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
