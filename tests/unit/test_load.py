"""``faktory-tw load`` without a server: its options, what its connections say, and how it tells what it measured."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw import cli, load
from faktory_tw.load import QUEUES, LoadError, Plan, Player, Result, Script, Share

PLAN = Plan("localhost", 7419)
MEASURED = Result({"push": 2.0, "drain": 4.0}, {"push": 1000, "drain": 1000}, {"push": [1.0, 3.0], "fetch": [0.25]})
NULL = b"$-1\r\n"


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


# -- the command line --------------------------------------------------------------------------------------------------


class Runner:
    """Stands in for `load.run`: remembers the plan, shows some progress, and ends as told."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.failure: BaseException | None = None

    def __call__(self, plan: Plan, progress: Callable[[str, int, float], None]) -> Result:
        self.plan = plan
        progress("cycle", 12_000, 0.0)
        progress("cycle", 15_000, 2.0)
        if self.failure is not None:
            raise self.failure
        return MEASURED


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    runner = Runner()
    monkeypatch.setattr(cli, "run", runner)
    return runner


def planned(runner: Runner, *arguments: str) -> Plan:
    """The plan that a command line leads to."""
    assert cli.main(["load", *arguments]) == 0
    assert runner.plan is not None
    return runner.plan


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said of a command line that cannot be used; the status is 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_whoever_says_nothing_measures_a_server_on_this_machine(runner: Runner) -> None:
    assert planned(runner) == Plan("localhost", 7419, None, "cycle", 30_000, 10, 1, 1, 0, 0)


def test_every_option_has_its_place_in_the_plan(runner: Runner) -> None:
    options = "--jobs 20 --connections 3 --pipeline 4 --bulk 5 --size 6 --processes 7 --mode drain"
    plan = planned(runner, "--url", "tcp://there:1", *options.split())
    assert plan == Plan("there", 1, None, "drain", 20, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://example.org", ("example.org", 7419, None)),
        ("tcp://:secret@example.org:7420", ("example.org", 7420, "secret")),
        ("tcp://:p%40ss%2Fword@127.0.0.1", ("127.0.0.1", 7419, "p@ss/word")),
        ("tcp://[::1]:7420", ("::1", 7420, None)),
    ],
)
def test_the_url_has_host_port_and_password(runner: Runner, url: str, address: tuple[str, int, str | None]) -> None:
    plan = planned(runner, "--url", url)
    assert (plan.host, plan.port, plan.password) == address


def test_the_option_wins_over_the_environment_variable(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKTORY_URL", "tcp://:secret@there:1")
    assert planned(runner) == replace(PLAN, host="there", port=1, password="secret")
    assert planned(runner, "--url", "tcp://here:2") == replace(PLAN, host="here", port=2)
    monkeypatch.setenv("FAKTORY_URL", "")
    assert planned(runner) == PLAN


@pytest.mark.parametrize(
    "url", ["localhost:7419", "http://localhost", "tcp://", "tcp://h:x", "tcp://h:70000", "tcp://[h"]
)
def test_a_url_that_names_no_server_is_refused(
    runner: Runner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    assert f"argument --url: {url!r}" in refused(capsys, "load", "--url", url)
    monkeypatch.setenv("FAKTORY_URL", url)
    assert repr(url) in refused(capsys, "load")
    assert runner.plan is None


@pytest.mark.parametrize("option", ["--jobs", "--connections", "--pipeline", "--bulk", "--processes"])
@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_what_is_counted_is_one_or_more(capsys: pytest.CaptureFixture[str], option: str, text: str) -> None:
    complaint = refused(capsys, "load", f"{option}={text}")
    assert f"argument {option}: must be a whole number of 1 or more, not {text!r}" in complaint


@pytest.mark.parametrize("text", ["-1", "big"])
def test_a_size_is_not_negative(runner: Runner, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert planned(runner, "--size", "0").size == 0
    assert f"must be a whole number of 0 or more, not {text!r}" in refused(capsys, "load", f"--size={text}")


def test_an_unknown_mode_or_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'fast'" in refused(capsys, "load", "--mode", "fast")
    assert "invalid choice: 'unload'" in refused(capsys, "unload")
    assert "required: COMMAND" in refused(capsys)


def test_mixed_needs_one_process_with_two_connections(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that push and those that drain share the count of jobs."""
    assert "--connections 2" in refused(capsys, "load", "--mode", "mixed", "--connections", "1")
    assert runner.plan is None
    assert planned(runner, "--mode", "mixed", "--connections", "2", "--processes", "4").processes == 1


def test_an_error_is_told_and_gives_status_1(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.failure = LoadError("the server left")
    assert cli.main(["load", "--json"]) == 1
    assert capsys.readouterr() == ("", "faktory-tw: the server left\n")


def test_ctrl_c_has_the_status_of_a_shell(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.failure = KeyboardInterrupt()
    assert cli.main(["load"]) == 130
    assert capsys.readouterr() == ("", "")


# -- what is shown -----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(
    runner: Runner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["load"])
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    shown = ["", "cycle: 12,000 of 20,000 jobs, 0 a second", "cycle: 15,000 of 20,000 jobs, 7,500 a second", ""]
    cli.main(["load", "--jobs", "20000"])
    assert terminal.getvalue().split("\r\033[K") == shown
    runner.failure = LoadError("the server left")
    cli.main(["load"])
    assert terminal.getvalue().endswith(" a second\r\033[Kfaktory-tw: the server left\n")


def test_json_is_one_object_on_one_line(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["load", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "jobs_per_second": {"push": 500, "drain": 250},
        "milliseconds": {
            "push": {"p50": 1.0, "p95": 3.0, "p99": 3.0, "p999": 3.0, "max": 3.0},
            "fetch": {"p50": 0.25, "p95": 0.25, "p99": 0.25, "p999": 0.25, "max": 0.25},
        },
    }


def test_the_table_has_rates_percentiles_and_histograms(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["load", "--jobs", "1000", "--mode", "drain", "--pipeline", "4", "--bulk", "8"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "drain: 1,000 jobs over 10 connections, pipeline 4, bulk 8"
    assert [line.split() for line in table[2:4]] == [["push", "500", "jobs/s"], ["drain", "250", "jobs/s"]]
    assert table[5].split() == ["round", "trip,", "ms", "p50", "p95", "p99", "p99.9", "max"]
    assert table[6].split() == ["push", "1.000", "3.000", "3.000", "3.000", "3.000"]
    assert table[7].split() == ["fetch", "0.250", "0.250", "0.250", "0.250", "0.250"]
    assert table[9] == "push: how many round trips took how long"
    assert table[14] == "fetch: how many round trips took how long"
    cli.main(["load"])
    assert capsys.readouterr().out.startswith("cycle: 30,000 jobs over 10 connections, pipeline 1\n\n")


@pytest.mark.parametrize(
    ("count", "part", "expected"), [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (100, 0.99, 99), (100, 0.999, 100)]
)
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(count: int, part: float, expected: float) -> None:
    ordered = [float(number) for number in range(1, count + 1)]
    assert cli._percentile(ordered, part) == expected
    assert cli._percentile(ordered, 1.0) == count


def test_percentiles_do_not_depend_on_the_order_of_the_round_trips() -> None:
    taken = [float(number) for number in range(1, 1001)]
    marks = {"p50": 500.0, "p95": 950.0, "p99": 990.0, "p999": 999.0, "max": 1000.0}
    for latencies in (taken, taken[::-1]):
        assert cli._summary(Result({}, {}, {"ack": latencies}))["milliseconds"]["ack"] == marks


def test_a_bucket_ends_at_twice_the_time_of_the_one_before() -> None:
    lines = cli._histogram([0.0, 0.0625, 0.07, 0.125, 0.126, 0.3])
    assert [line.split()[2] for line in lines] == ["0.062", "0.125", "0.250", "0.500"]
    assert [line.split()[4] for line in lines] == ["2", "2", "1", "1"]
    assert [line.split()[5] for line in lines] == ["33.3%", "33.3%", "16.7%", "16.7%"]


def test_the_bars_are_as_long_as_the_buckets_are_full() -> None:
    lines = cli._histogram([1.0] * 400 + [2.0] * 100 + [8.0])
    assert [line.partition("%")[2].strip() for line in lines] == ["█" * 50, "█" * 12 + "▌", "", "▏"]


def test_processes_that_measured_together_are_added_up() -> None:
    """They worked at the same time: the slowest says how long it took."""
    result = Result()
    result.add("push", 10, 2.0, {"push": [1.0]})
    result.add("push", 12, 3.0, {"push": [2.0], "fetch": [5.0]})
    result.add("push", 1, 1.0, {})
    assert result == Result({"push": 3.0}, {"push": 23}, {"push": [1.0, 2.0], "fetch": [5.0]})


# -- scripts -----------------------------------------------------------------------------------------------------------


class Desk:
    """What the scripts believe to be a server: jobs wait, are reserved and done. Its FETCH never waits.

    It keeps only the first jobs when told to, and calls what `meanwhile` has for a turn before that turn's replies.
    """

    def __init__(self, keeps: int = 1000) -> None:
        self.keeps = keeps
        self.meanwhile: dict[int, Callable[[], None]] = {}
        self.waiting: list[dict[str, Any]] = []
        self.reserved: list[str] = []
        self.done: list[str] = []
        self.said: list[tuple[str, int]] = []  # name of each turn, and how many commands it had
        self.lines: list[str] = []

    def answer(self, turn: tuple[str, bytes, int]) -> list[bytes]:
        """The replies to one turn of a script."""
        name, data, expected = turn
        assert data.endswith(b"\r\n")
        lines = data.decode().split("\r\n")[:-1]
        assert len(lines) == expected, "a script that expects too many replies waits for ever"
        self.said.append((name, len(lines)))
        self.lines += lines
        self.meanwhile.get(len(self.said), lambda: None)()
        return [self._answer(*line.split(" ", 1)) for line in lines]

    def _answer(self, verb: str, argument: str) -> bytes:
        if verb == "FETCH":
            assert sorted(argument.split()) == list(QUEUES)
            if not self.waiting:
                return NULL
            job = self.waiting.pop(0)
            self.reserved.append(job["jid"])
            return bulk(json.dumps(job, separators=(",", ":")))
        if verb == "ACK":
            jid = json.loads(argument)["jid"]
            self.reserved.remove(jid)
            self.done.append(jid)
            return b"+OK\r\n"
        self.waiting += json.loads(argument) if verb == "PUSHB" else [json.loads(argument)]
        del self.waiting[self.keeps :]
        return bulk("{}") if verb == "PUSHB" else b"+OK\r\n"


def perform(desk: Desk, *scripts: Script) -> None:
    """Play scripts in turn, to the end; each has a turn in flight while the others have theirs."""
    playing = [(script, next(script, None)) for script in scripts]
    for _ in range(100):
        going = [(script, turn) for script, turn in playing if turn is not None]
        playing = []
        for script, turn in going:
            try:
                playing.append((script, script.send(desk.answer(turn))))
            except StopIteration:
                pass
    assert not playing, "a script does not end"


def test_a_job_has_its_own_jid_and_the_queues_take_turns() -> None:
    share = Share(replace(PLAN, size=3), 7)
    jobs = [json.loads(share.job()) for _ in range(7)]
    assert len({job["jid"] for job in jobs}) == 7
    assert [job["queue"] for job in jobs] == [*QUEUES, "load-0", "load-1"]
    assert [job["args"] for job in jobs] == [[number, "xxx"] for number in range(7)]
    assert {(job["jobtype"], job["retry"]) for job in jobs} == {("Load", 0)}, "what gets stuck is not tried again"


def test_pushes_are_sent_as_many_at_a_time_as_the_pipeline_holds() -> None:
    desk, share = Desk(), Share(replace(PLAN, pipeline=3), 8)
    perform(desk, load.push_script(share))
    assert desk.said == [("push", 3), ("push", 3), ("push", 2)]
    assert all(line.startswith("PUSH {") for line in desk.lines)
    assert len(desk.waiting) == share.pushed == 8


def test_bulk_pushes_are_cut_to_their_size() -> None:
    desk, share = Desk(), Share(replace(PLAN, pipeline=2, bulk=3), 10)
    perform(desk, load.push_script(share))
    assert desk.said == [("push", 2), ("push", 2)]
    assert [len(json.loads(line.removeprefix("PUSHB "))) for line in desk.lines] == [3, 3, 3, 1]
    assert len(desk.waiting) == share.pushed == 10


@pytest.mark.parametrize("connections", [1, 3, 10])
@pytest.mark.parametrize(("pipeline", "bulk"), [(1, 1), (4, 1), (1, 4), (3, 2)])
def test_whatever_the_mode_every_job_is_done_once(connections: int, pipeline: int, bulk: int) -> None:
    for mode in ("cycle", "mixed"):
        scripts = load._SCRIPTS[mode]
        desk, share = Desk(), Share(replace(PLAN, mode=mode, pipeline=pipeline, bulk=bulk), 17)
        perform(desk, *(scripts[index % len(scripts)](share) for index in range(max(connections, len(scripts)))))
        assert len(desk.done) == len(set(desk.done)) == share.pushed == share.finished == 17
        assert (desk.waiting, desk.reserved) == ([], [])


def test_a_cycle_pushes_fetches_and_acknowledges_in_turn() -> None:
    desk, after_bulk = Desk(), Desk()
    perform(desk, load.cycle_script(Share(replace(PLAN, pipeline=2), 3)))
    assert desk.said == [("push", 2), ("fetch", 2), ("ack", 2), ("push", 1), ("fetch", 1), ("ack", 1)]
    perform(after_bulk, load.cycle_script(Share(replace(PLAN, bulk=2), 2)))
    assert after_bulk.said == [("push", 1), ("fetch", 1), ("ack", 1), ("fetch", 1), ("ack", 1)]


def test_each_fetch_asks_another_queue_first() -> None:
    desk, share = Desk(), Share(replace(PLAN, mode="drain"), 6)
    desk.waiting = [json.loads(share.job()) for _ in range(6)]
    perform(desk, load.drain_script(share))
    fetched_first = [line.split()[1] for line in desk.lines if line.startswith("FETCH")]
    assert fetched_first == [*QUEUES, "load-0"]


def test_whoever_drains_before_the_first_push_goes_on() -> None:
    desk, share = Desk(), Share(replace(PLAN, mode="mixed"), 5)
    perform(desk, load.drain_script(share), load.push_script(share))
    assert desk.said[0] == ("fetch", 1)
    assert len(desk.done) == share.finished == 5


@pytest.mark.parametrize(("mode", "done"), [("cycle", 2), ("mixed", 2), ("drain", 1)])
def test_jobs_that_somebody_else_took_are_not_waited_for(mode: str, done: int) -> None:
    """A FETCH that finds nothing is not acknowledged, and the run ends."""
    desk, share = Desk(keeps=1), Share(replace(PLAN, mode=mode, pipeline=2), 4)
    desk.waiting = [json.loads(share.job())]
    perform(desk, *(script(share) for script in load._SCRIPTS[mode]))
    assert len(desk.done) == share.finished == done
    assert desk.reserved == []


@pytest.mark.parametrize(
    ("script", "turn", "said"),
    [
        (load.push_script, 1, ["push"]),
        (load.drain_script, 1, ["fetch", "ack"]),
        (load.drain_script, 2, ["fetch", "ack"]),
        (load.cycle_script, 1, ["push"]),
        (load.cycle_script, 2, ["push", "fetch", "ack"]),
        (load.cycle_script, 3, ["push", "fetch", "ack"]),
    ],
)
def test_a_script_that_is_stopped_ends_what_it_has_begun(
    script: Callable[[Share], Script], turn: int, said: list[str]
) -> None:
    desk, share = Desk(), Share(replace(PLAN, bulk=2), 20)
    desk.waiting = [json.loads(share.job()) for _ in range(3)]
    desk.meanwhile[turn] = share.stop
    perform(desk, script(share))
    assert [name for name, _ in desk.said] == said
    assert desk.reserved == []


# -- replies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buffer", "size"),
    [
        (b"", 0),
        (b"+OK\r\n+OK\r\n", 5),
        (NULL + NULL, 5),
        (b"$2\r\n{}\r", 0),
        (b"$2\r\n{}\r\n$2", 8),
        (b"$4\r\n\r\n\r\n\r\n", 10),
        (b"-ERR no", 0),
    ],
)
def test_a_reply_is_cut_off_when_it_is_whole(buffer: bytes, size: int) -> None:
    assert load._reply_size(buffer) == size


def test_an_error_reply_ends_the_run() -> None:
    with pytest.raises(LoadError, match=r"^the server answers '-ERR no\W+ room'$"):
        load._reply_size(b"-ERR no\xff room\r\n")


class Line:
    """A connection: gives out what the server says, one piece a time, and keeps what is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, _most: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def player(line: Any, script: Script, monkeypatch: pytest.MonkeyPatch) -> Player:
    """A player whose clock shows the seconds 1, 2, 4 and 7."""
    monkeypatch.setattr(load, "time", SimpleNamespace(perf_counter=iter([1.0, 2.0, 4.0, 7.0]).__next__))
    return Player(line, script, {})


def two_turns(heard: list[list[bytes]]) -> Script:
    heard.append((yield "fetch", b"FETCH\r\nFETCH\r\n", 2))
    heard.append((yield "ack", b"ACK\r\n", 1))


@pytest.mark.parametrize("most", [1, 2, 7, 1000])
def test_replies_are_put_together_from_whatever_arrives(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    said = bulk('{"jid":"a\\nb"}') + NULL
    line = Line(*(said[start : start + most] for start in range(0, len(said), most)), b"+OK\r\n")
    heard: list[list[bytes]] = []
    one = player(line, two_turns(heard), monkeypatch)
    while line.pieces:
        assert not one.done
        one.read()
    assert one.done
    assert heard == [[bulk('{"jid":"a\\nb"}'), NULL], [b"+OK\r\n"]]
    assert line.sent == b"FETCH\r\nFETCH\r\nACK\r\n"
    assert one._latencies == {"fetch": [1000.0], "ack": [3000.0]}, "milliseconds, once a turn"


def test_a_script_without_a_turn_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    assert player(line, load.push_script(Share(PLAN, 0)), monkeypatch).done
    assert line.sent == b""


def test_a_server_that_leaves_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    one = player(Line(b"+OK"), two_turns([]), monkeypatch)
    one.read()
    with pytest.raises(LoadError, match="the server closed a connection"):
        one.read()


# -- a run -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("whole", "number", "parts"), [(7, 3, [3, 2, 2]), (6, 3, [2, 2, 2]), (1, 2, [1, 0])])
def test_processes_share_evenly(whole: int, number: int, parts: list[int]) -> None:
    assert load._shares(whole, number) == parts


def run(monkeypatch: pytest.MonkeyPatch, plan: Plan, *failures: LoadError | None) -> list[str]:
    """Run a plan whose steps fail as told, one after the other; returns the steps."""
    steps: list[str] = []
    left = list(failures)

    def step(name: str) -> None:
        steps.append(name)
        failure = left.pop(0) if left else None
        if failure is not None:
            raise failure

    monkeypatch.setattr(load, "command", lambda _, line: step(line))
    monkeypatch.setattr(load, "_run_phase", lambda _, phase, *rest: step(phase))
    try:
        load.run(plan, lambda *_: None)
    except LoadError as error:
        steps.append(str(error))
    return steps


@pytest.mark.parametrize("mode", ["cycle", "push", "mixed", "drain"])
def test_the_queues_are_removed_before_and_after(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    remove = "QUEUE REMOVE load-0 load-1 load-2 load-3 load-4"
    phases = ["push", "drain"] if mode == "drain" else [mode]
    plan = replace(PLAN, mode=mode)
    assert run(monkeypatch, plan) == [remove, *phases, remove]
    assert run(monkeypatch, plan, LoadError("no")) == [remove, "no"]
    assert run(monkeypatch, plan, None, LoadError("no")) == [remove, phases[0], remove, "no"]
    assert run(monkeypatch, plan, None, LoadError("no"), LoadError("gone"))[-1] == "no", "the first error is told"
