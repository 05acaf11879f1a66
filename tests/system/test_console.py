"""``faktory-tw`` as people and scripts run it: a process against a real server, its output and its exit status."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.requirements import require_module
from tests.system.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server, clean_environment, eventually

COMMAND = [sys.executable, "-m", "faktory_tw.cli"]
PASSWORD = "correct-horse"
LONGEST_SECONDS = 90
LATER = "2099-01-01T00:00:00Z"
TLS_PORT = r"Accepting commands over TLS at \S*?:(\d+)\b"


class Console:
    """The command, with the URL of one server in its environment."""

    def __init__(self, server: Server, **environment: str) -> None:
        self.environment = {"FAKTORY_URL": server.url, **environment}

    def run(self, *arguments: str, given: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end. `given` is its standard input, which is never a terminal."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=clean_environment({**self.environment, **environment}),
            input=given or "",
            capture_output=True,
            encoding="utf-8",
            timeout=LONGEST_SECONDS,
            check=False,
        )

    def out(self, *arguments: str, **more: Any) -> str:
        """What a command prints that has nothing to complain about."""
        process = self.run(*arguments, **more)
        assert (process.returncode, process.stderr) == (0, ""), process.stderr
        return process.stdout

    def json(self, *arguments: str, **more: Any) -> Any:
        """The same with --json."""
        (line,) = self.out(*arguments, "--json", **more).splitlines()
        return json.loads(line)

    def refusal(self, *arguments: str, status: int = 1, **more: Any) -> str:
        """The last line of what a command says that fails."""
        process = self.run(*arguments, **more)
        assert process.returncode == status, (process.returncode, process.stdout, process.stderr)
        assert "Traceback" not in process.stderr
        return process.stderr.splitlines()[-1]


@pytest.fixture
def console(server: Server) -> Console:
    """The command and a server without a password."""
    return Console(server)


def sizes(server: Server) -> dict[str, int]:
    """Jobs in each queue and set that has any."""
    with server.client() as client:
        faktory = client.info()["faktory"]
    return {name: size for name, size in {**faktory["queues"], **faktory["sets"]}.items() if size}


def fill(server: Server) -> None:
    """Three jobs due in 2099, two retries of different errors, one dead, one being worked, one in `bulk`."""
    with server.client() as client:
        for number in range(3):
            client.push(job("Later", number, jid=f"later-{number:03}", at=LATER))
        for jid, retry in (("retry-001", 5), ("retry-002", 5), ("dead-0001", -1), ("work-0001", 5)):
            client.push(job("Now", jid, jid=jid, retry=retry))
            assert client.fetch("default")
        client.fail("retry-001", "KeyError", "no such key")
        client.fail("retry-002", "Timeout", "took too long")
        client.fail("dead-0001", "Fatal", "never again", backtrace=["main.rb:1", "lib.rb:2"])
        client.push(job("Bulk", "ä", jid="bulk-0001", queue="bulk", priority=9))


# -- looking -----------------------------------------------------------------------------------------------------------


def test_status_shows_a_server_on_one_screen(server: Server, console: Console) -> None:
    fill(server)
    with server.client(wid="worker-1"):
        lines = console.out("status").splitlines()
        told = console.json("status")
    assert re.match(r"faktory_tw \S+ at 127\.0\.0\.1:\d+, up ", lines[0])
    assert any(re.fullmatch(r"bulk +1 .* 9:1", line) for line in lines)
    assert "scheduled 3  retries 2  dead 1  working 1" in lines
    assert any(line.startswith("worker-1  localhost:1  running") for line in lines)
    assert [queue["name"] for queue in told["queues"]] == ["bulk", "default"]
    assert [worker["wid"] for worker in told["workers"]] == ["worker-1"]
    assert told["info"]["faktory"]["sets"]["working"] == 1


def test_jobs_are_listed_wherever_they_are(server: Server, console: Console) -> None:
    fill(server)
    for place, jids in (
        (["queued", "bulk"], ["bulk-0001"]),
        (["scheduled"], ["later-000", "later-001", "later-002"]),
        (["retries"], ["retry-001", "retry-002"]),
        (["dead"], ["dead-0001"]),
        (["working"], ["work-0001"]),
    ):
        lines = console.out("list", *place).splitlines()
        assert sorted(line.split()[0] for line in lines[1:]) == jids
        told = console.json("list", *place)
        assert sorted(each["job"]["jid"] for each in told["jobs"]) == jids
        assert console.out("list", *place, "--count") == f"{len(jids)}\n"
    first = console.run("list", "scheduled", "--limit", "2")
    cursor = first.stderr.removeprefix("There may be more: --after ").strip()
    assert "later-002" not in first.stdout
    assert console.out("list", "scheduled", "--after", cursor).splitlines()[1].startswith("later-002")
    assert console.out("list", "queued", "no-such") == "no jobs\n"


@pytest.mark.parametrize(
    ("filters", "jids"),
    [
        (["--error", "Time*"], ["retry-002"]),
        (["--match", "no such key"], ["retry-001"]),
        (["--jid", "retry-001"], ["retry-001"]),
        (["--jobtype", "N?w", "--queue", "default"], ["retry-001", "retry-002"]),
        (["--queue", "bulk"], []),
    ],
)
def test_filters_find(server: Server, console: Console, filters: list[str], jids: list[str]) -> None:
    fill(server)
    found = console.json("list", "retries", *filters)["jobs"]
    assert sorted(each["job"]["jid"] for each in found) == jids


def test_a_job_is_shown_whatever_its_place(server: Server, console: Console) -> None:
    fill(server)
    shown = console.out("show", "dead-0001")
    assert "place:        dead\n" in shown
    assert "  errtype:    Fatal\n" in shown
    assert shown.endswith("    main.rb:1\n    lib.rb:2\n")
    for jid, place in (("bulk-0001", "queued"), ("work-0001", "working"), ("later-001", "scheduled")):
        assert [each["place"] for each in console.json("show", jid)["jobs"]] == [place]
    assert console.refusal("show", "gone-0001").startswith("faktory-tw: there is no job with the jid gone-0001")
    assert console.run("show", "gone-0001", "--json").stdout == '{"jobs": []}\n'


# -- pushing -----------------------------------------------------------------------------------------------------------


def test_a_pushed_job_arrives_as_it_was_written(server: Server, console: Console) -> None:
    arguments = ['"ä"', '{ "n": 12345678901234567890.10 }']
    jid = console.out("push", "Mail", *arguments, "--queue", "q", "--priority", "9", "--custom", '{"a":1}').strip()
    with server.client() as client:
        reply = client.command("FETCH q")
        assert '"args":["ä",{"n":12345678901234567890.10}]' in reply.value.decode()
        fetched = json.loads(reply.value)
    assert (fetched["jid"], fetched["priority"], fetched["custom"]) == (jid, 9, {"a": 1})
    assert set(console.json("push", "Mail", "--at", "+1h")) == {"jid"}
    assert sizes(server) == {"working": 1, "scheduled": 1}


def test_many_jobs_are_pushed_from_standard_input(server: Server, console: Console, tmp_path: Path) -> None:
    lines = [json.dumps({"jobtype": "Many", "args": [number]}) for number in range(2500)]
    assert console.out("push", "-", "--queue", "q", given="\n".join(lines)) == "2,500 jobs pushed, 0 refused\n"
    bad = ["nonsense", '{"jobtype":"Good"}', '{"jobtype":""}', '{"jobtype":"X","retry":"many"}', "", "[]"]
    process = console.run("push", "-", "--json", given="\n".join(bad))
    assert process.returncode == 1
    told = json.loads(process.stdout)
    assert told["pushed"] == 1
    assert [refused["line"] for refused in told["refused"]] == [1, 3, 4, 6]
    assert len(process.stderr.splitlines()) == 4
    assert sizes(server) == {"q": 2500, "default": 1}


def test_what_the_server_refuses_is_told(console: Console) -> None:
    assert console.refusal("push", "Mail", "--jid", "short").endswith(
        "answers '-ERR jobs must have a reasonable jid parameter'"
    )
    assert "'bare' is no JSON" in console.refusal("push", "Mail", "bare", status=2)


# -- changing ----------------------------------------------------------------------------------------------------------


def test_jobs_of_a_set_are_requeued_killed_and_deleted(server: Server, console: Console) -> None:
    fill(server)
    assert console.out("requeue", "scheduled", "later-000", "--yes") == "1 job put into the queue.\n"
    assert console.out("kill", "retries", "--error", "Timeout", "--yes") == "1 job moved to the dead.\n"
    assert console.json("delete", "retries", "--match", "no such key", "--yes") == {"changed": 1}
    assert sizes(server) == {"bulk": 1, "default": 1, "scheduled": 2, "dead": 2, "working": 1}
    assert console.out("retry", "dead", "--all", "--yes") == "2 jobs put into the queue.\n"
    assert console.json("delete", "scheduled", "--all", "--yes") == {"changed": 2}
    assert sizes(server) == {"bulk": 1, "default": 3, "working": 1}
    assert console.out("delete", "dead", "--jobtype", "*") == "0 jobs deleted.\n"
    assert console.refusal("kill", "retries", "gone-0001") == "faktory-tw: none of these jobs is in the set retries"


def test_jobs_of_a_queue_get_another_priority_and_are_killed_and_deleted(server: Server, console: Console) -> None:
    jids = [f"queued-00{number}" for number in range(6)]
    for jid in jids:
        console.out("push", "Mailer" if jid < "queued-004" else "Import", "--jid", jid, "--queue", "waiting")
    of_queue = ("--queue", "waiting", "--yes")
    told = console.out("priority", "9", jids[5], *of_queue)
    assert told == "1 job moved to another priority.\n"
    assert console.json("kill", "queued", "--jobtype", "Import", "--match", jids[4], *of_queue) == {"changed": 1}
    assert console.json("delete", "queued", jids[0], jids[2], *of_queue) == {"changed": 2}
    listed = console.json("list", "queued", "waiting")["jobs"]
    assert [view["job"]["jid"] for view in listed] == [jids[5], jids[1], jids[3]]
    assert console.json("show", jids[5])["jobs"][0]["job"]["priority"] == 9
    assert console.json("delete", "queued", "--all", *of_queue) == {"changed": 3}
    assert console.json("list", "queued", "waiting", "--count") == {"count": 0}


def test_nothing_is_changed_unasked(server: Server, console: Console) -> None:
    fill(server)
    before = sizes(server)
    assert "Delete 1 job of the set dead? There is nobody" in console.refusal("delete", "dead", "--all", status=2)
    assert "--yes goes ahead" in console.refusal("flush", status=2)
    assert "--yes goes ahead" in console.refusal("queues", "remove", "bulk", status=2)
    assert "say which jobs" in console.refusal("delete", "dead", "--yes", status=2)
    assert sizes(server) == before


def test_queues_are_listed_paused_resumed_and_removed(server: Server, console: Console) -> None:
    fill(server)
    assert console.out("queues", "pause", "bulk") == "1 queue paused\n"
    assert re.search(r"^bulk +1 .* paused +9:1$", console.out("queues", "list"), re.MULTILINE)
    assert console.json("queues", "resume", "*") == {"queues": ["bulk", "default"]}
    assert [queue["paused"] for queue in console.json("queues", "list")["queues"]] == [False, False]
    assert console.json("queues", "latency", "bulk")["bulk"] > 0
    assert console.out("queues", "latency", "bulk").startswith("QUEUE")
    assert console.refusal("queues", "pause", "no-such") == (
        "faktory-tw: no such queue: no-such; there are bulk, default"
    )
    assert console.json("queues", "remove", "bulk", "--yes") == {"removed": {"bulk": 1}}
    assert console.json("flush", "--yes") == {"flushed": 7}
    assert sizes(server) == {}
    assert console.out("queues", "list") == "no queues\n"


def test_workers_are_listed_made_quiet_and_ended(server: Server, console: Console) -> None:
    assert console.out("workers", "list") == "no workers\n"
    with server.client(wid="worker-1") as one, server.client(wid="worker-2") as two:
        one.push(job("greet"))
        assert one.fetch("default")
        one.beat(rss_kb=2048)
        listed = {worker["wid"]: worker for worker in console.json("workers", "list")["workers"]}
        assert (listed["worker-1"]["busy"], listed["worker-1"]["rss_kb"]) == (1, 2048)
        assert listed["worker-2"]["beat_age"] is None
        assert console.out("workers", "quiet", "worker-1") == "1 worker told to be quiet, at the next heartbeat\n"
        assert (one.beat(), two.beat()) == ("quiet", "")
        assert console.json("workers", "terminate", "--all") == {"told": 2, "unknown": []}
        assert (one.beat(), two.beat()) == ("terminate", "terminate")
        assert re.search(r"worker-2 +localhost:1 +terminate", console.out("workers", "list"))
    assert console.refusal("workers", "quiet", "worker-1") == "faktory-tw: no such worker: worker-1; see workers list"


# -- backups and configuration -----------------------------------------------------------------------------------------


def test_backups_are_made_listed_checked_restored_and_purged(server: Server, console: Console) -> None:
    data = ["-d", str(server.data_directory)]
    fill(server)
    before = sizes(server)
    made = console.json("backup", "--wait")["backup"]
    assert (made["jobs"], made["verified"]) == (8, True)
    assert console.out("backups", "list").splitlines()[1].startswith(made["name"])
    assert console.json("backups", "list")["backups"] == console.json("backups", "list", *data)["backups"] == [made]
    assert re.search(r"^1 backup, the last .* ago: faktory-", console.out("status"), re.MULTILINE)
    assert console.out("backups", "verify", *data).startswith(f"{made['name']} is whole: 8 jobs")
    assert console.json("backups", "verify", made["name"], *data)["verified"]
    assert "no backup 'nothing'" in console.refusal("backups", "verify", "nothing", *data)
    console.out("flush", "--yes")
    assert str(server.process and server.process.pid) in console.refusal("restore", "latest", *data, "--yes")
    assert server.stop() == 0
    assert "--yes goes ahead" in console.refusal("restore", "latest", *data, status=2)
    restored = console.json("restore", "latest", *data, "--yes")
    assert restored["jobs"] == 8
    assert Path(restored["kept_aside"]).is_dir()
    server.start()
    assert sizes(server) == before
    begun = Console(server).run("backup")
    assert begun.returncode == 0, begun.stderr
    eventually(lambda: len(Console(server).json("backups", "list")["backups"]) == 2, "the second backup is made")
    assert [each["name"] for each in console.json("backups", "purge", "--keep", "1", *data, "--yes")["deleted"]] == [
        made["name"]
    ]
    assert console.out("backups", "purge", *data) == "0 backups deleted\n"


def test_a_damaged_backup_is_refused(server: Server, console: Console) -> None:
    name = console.json("backup", "--wait")["backup"]["name"]
    path = server.data_directory / "backups" / name
    path.write_bytes(path.read_bytes()[:-5000])
    server.stop()
    for command in (["backups", "verify"], ["restore", "latest", "--yes"]):
        assert name in console.refusal(*command, "-d", str(server.data_directory))


def test_a_configuration_is_checked(server: Server, console: Console) -> None:
    directory = server.config_directory
    arguments = ["check-config", "-c", str(directory)]
    assert re.search(r"^faktory\.binding +localhost:7419 +default$", console.out(*arguments), re.MULTILINE)
    (directory / "conf.d").mkdir()
    (directory / "conf.d" / "a.toml").write_text(f'[faktory]\npassword = "{PASSWORD}"\nbindding = "x"\n')
    process = console.run(*arguments)
    assert process.returncode == 1
    assert "bindding" in process.stderr
    assert PASSWORD not in process.stdout + process.stderr
    told = json.loads(console.run(*arguments, "--json").stdout)
    assert len(told["problems"]) == 1
    (directory / "conf.d" / "a.toml").write_text('[faktory]\nbinding = "nonsense:x"\n')
    assert console.run(*arguments).returncode == 1, "the address is checked as a server checks it"


# -- who is there ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:{port}", "tcp://:hunter2@127.0.0.1:{port}"])
def test_a_wrong_password_is_refused_and_never_shown(make_server: MakeServer, url: str) -> None:
    server = make_server(password=PASSWORD)
    console = Console(server)
    assert console.out("queues", "list") == "no queues\n"
    wrong = url.format(port=server.port)
    for arguments in (["status"], ["push", "Mail"], ["watch"]):
        told = console.refusal(*arguments, FAKTORY_URL=wrong)
        assert "answers '-ERR Invalid password'" in told
        assert "hunter2" not in told
    assert "hunter2" not in console.refusal("status", "--url", f"{wrong}x", status=2)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = clean_environment({"FAKTORY_PROVIDER": "MY_URL", "MY_URL": f"tcp://:{PASSWORD}@127.0.0.1:{port}"})
    for command in ("status", "watch", "flush", "backup"):
        process = subprocess.run(
            [*COMMAND, command], env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
        )
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr == f"faktory-tw: cannot connect to 127.0.0.1:{port}: Connection refused\n"


def test_a_server_that_ends_in_the_middle_is_told(server: Server, console: Console) -> None:
    """The jobs that wait in the pipe when the server goes are told as not sent."""
    process = subprocess.Popen(
        [*COMMAND, "push", "-"],
        env=clean_environment(console.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"jobtype":"Many"}\n' * 1000)
    process.stdin.flush()
    eventually(lambda: sizes(server).get("default") == 1000, "the first are pushed")
    server.kill()
    out, err = process.communicate(b'{"jobtype":"Many"}\n' * 1000, timeout=LONGEST_SECONDS)
    assert (process.returncode, out) == (1, b"")
    # whether the reply to the first had left is the server's secret
    assert re.search(rb"; (0|1,000) jobs had been accepted\. Of up to 1,000 more it is not known", err), err


def test_a_server_behind_tls_is_asked_when_its_authority_is_trusted(make_server: MakeServer) -> None:
    require_module("OpenSSL")
    server = make_server(start=False)
    (server.config_directory / "conf.d").mkdir()
    (server.config_directory / "conf.d" / "tls.toml").write_text('[faktory]\ntls_binding = "127.0.0.1:0"\n')
    server.start()
    port = int(server.wait_for_log(TLS_PORT).group(1))
    authority = str(server.config_directory / "tls" / "ca.pem")
    console = Console(server, FAKTORY_URL=f"tcp+tls://127.0.0.1:{port}")
    assert console.out("queues", "list", "--ca-file", authority) == "no queues\n"
    assert console.out("queues", "list", SSL_CERT_FILE=authority) == "no queues\n"
    assert "--ca-file names the file of an authority to trust" in console.refusal("queues", "list")
    told = console.refusal("queues", "list", FAKTORY_URL=f"tcp://127.0.0.1:{port}")
    assert "use tcp+tls:// in the URL" in told
    told = console.refusal("queues", "list", FAKTORY_URL=f"tcp+tls://127.0.0.1:{server.port}")
    assert told.startswith(f"faktory-tw: cannot connect to 127.0.0.1:{server.port}: ")
    assert ssl.OPENSSL_VERSION


def test_a_reader_that_leaves_early_is_no_crash(server: Server, console: Console) -> None:
    with server.client() as client:
        client.pushb(job("Many", number, "x" * 200) for number in range(3000))
    command = f"{' '.join(COMMAND)} list queued default --limit 3001 | head -1"
    process = subprocess.run(
        ["/bin/sh", "-c", command],
        env=clean_environment(console.environment),
        capture_output=True,
        encoding="utf-8",
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert process.stdout.startswith("JID")
    assert process.stderr == ""


# -- many --------------------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_jobs_are_gone_through_while_others_are_served(server: Server, console: Console) -> None:
    """Another client is answered all the time; how long that takes is for the benchmarks."""
    with server.client() as client:
        for start in range(0, 100_000, 5000):
            client.pushb(
                job("Rare" if number % 50_000 == 7 else "Work", number, jid=f"many-{number:06}", at=LATER)
                for number in range(start, start + 5000)
            )
        client.pushb(job("Work", number, jid=f"queue-{number:06}") for number in range(20_000))
    served, ended = [0], threading.Event()

    def serve() -> None:
        with server.client() as other:
            while not ended.is_set():
                other.push(job("Other", queue="others"))
                served[0] += 1
                time.sleep(0.001)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        assert console.json("list", "scheduled", "--jobtype", "Rare", "--count") == {"count": 2}
        assert [each["job"]["jid"] for each in console.json("list", "scheduled", "--match", "[99999]")["jobs"]] == [
            "many-099999"
        ]
        assert [each["place"] for each in console.json("show", "queue-019999")["jobs"]] == ["queued"]
        assert len(console.json("list", "queued", "default", "--limit", "20000")["jobs"]) == 20_000
        assert console.json("delete", "scheduled", "--queue", "default", "--yes") == {"changed": 100_000}
    finally:
        ended.set()
        thread.join(LONGEST_SECONDS)
    assert served[0] > 20
    assert "scheduled" not in sizes(server)
