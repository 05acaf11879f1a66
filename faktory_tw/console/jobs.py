"""``list``, ``show``, ``requeue``, ``kill``, ``delete``, ``cancel`` and ``priority``: looking at jobs, and doing something with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from faktory_tw.console import options as common
from faktory_tw.console.connection import FOREVER, Connection, Refused
from faktory_tw.console.errors import ConsoleError, UsageError
from faktory_tw.console.terminal import Progress, compact, confirmed, note, out, out_json, plural, printable, table

_SETS = ("scheduled", "retries", "dead")
_PLACES = ("queued", *_SETS, "working")
_PAGE = 500
_SHORT_BYTES = 80  # of arguments, in a table
_MUTATIONS = {"RETRY": "requeue", "KILL": "kill", "DELETE": "discard"}
_DONE = {
    "RETRY": "put into the queue",
    "KILL": "moved to the dead",
    "DELETE": "deleted",
    "PRIORITY": "moved to another priority",
}
_ASKED = {
    "RETRY": "Put {} into the queue now",
    "KILL": "Move {} to the dead",
    "DELETE": "Delete {}",
    "PRIORITY": "Give another priority to {}",
}
_CHANGED = {
    "RETRY": _SETS,
    "KILL": ("queued", "scheduled", "retries"),
    "DELETE": ("queued", *_SETS),
}


def add(commands: Any) -> None:
    """The commands that are about jobs."""
    parser = common.command(commands, "list", _list, "list the jobs of a queue or a set")
    parser.add_argument("place", choices=_PLACES, metavar="PLACE", help=", ".join(_PLACES))
    parser.add_argument("name", nargs="?", metavar="QUEUE", help="the queue, when PLACE is queued")
    _add_filters(parser)
    parser.add_argument("--limit", type=common.positive, default=50, metavar="N", help="how many jobs [50]")
    parser.add_argument("--after", metavar="CURSOR", help="go on behind a page; it says how at its end")
    parser.add_argument("--count", action="store_true", help="only say how many there are")
    parser = common.command(commands, "show", _show, "show everything about a job, wherever it is")
    parser.add_argument("jid", metavar="JID")
    for name, verb, summary in (
        ("requeue", "RETRY", "put jobs of a set into their queues now"),
        ("retry", "RETRY", "the same as requeue"),
        ("kill", "KILL", "move jobs of a queue or a set to the dead"),
        ("delete", "DELETE", "delete jobs of a queue or a set"),
    ):
        parser = common.command(commands, name, _change, summary)
        parser.set_defaults(verb=verb, priority=None)
        places = _CHANGED[verb]
        parser.add_argument("place", choices=places, metavar="PLACE", help=", ".join(places))
        _add_which(parser)
    parser = common.command(commands, "cancel", _cancel, "ask for jobs to stop that workers have")
    parser.add_argument("jids", nargs="+", metavar="JID")
    parser = common.command(commands, "priority", _change, "give jobs of a queue another priority")
    parser.set_defaults(verb="PRIORITY", place="queued")
    parser.add_argument(
        "priority", type=int, choices=range(1, 10), metavar="PRIORITY", help="1 to 9, the highest first"
    )
    _add_which(parser)


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jids", nargs="*", metavar="JID")
    _add_filters(parser)
    parser.add_argument("--all", action="store_true", help="every job of the place")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jid", action="append", metavar="JID", help="this job; may be given several times")
    parser.add_argument("--jobtype", metavar="GLOB", help="jobs of this type; *, ? and [a-z] stand for others")
    parser.add_argument("--queue", metavar="GLOB", help="jobs for this queue; of the place queued, its name")
    parser.add_argument(
        "--match", metavar="TEXT", help="jobs that have this text anywhere, arguments and error included"
    )
    parser.add_argument("--error", metavar="GLOB", help="jobs that failed last with an error of this class")


def wanted(options: argparse.Namespace) -> dict[str, Any]:
    """The filter that the options stand for; empty: every job."""
    jids = [*(options.jid or []), *getattr(options, "jids", [])]
    found = {name: getattr(options, name) for name in ("jobtype", "queue", "match", "error") if getattr(options, name)}
    return {"jids": jids, **found} if jids else found


# -- looking -----------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    if (options.place == "queued") != bool(options.name):
        raise UsageError("list queued needs the name of a queue; the other places take none: list queued default")
    question: dict[str, Any] = {"place": options.place, "filter": wanted(options), "after": options.after}
    if options.name:
        question["queue"] = options.name
    with common.connect(options) as connection:
        if options.count:
            number = count(connection, question)
            out_json({"count": number}) if options.json else out(str(number))
            return 0
        jobs, cursor = _gather(connection, "ADMIN LIST", question, options.limit)
    if options.json:
        out_json({"jobs": jobs, "next": cursor})
        return 0
    out(*(_table(options.place, jobs) if jobs else ["no jobs"]))
    if cursor:
        note(f"There may be more: --after {cursor}")
    return 0


def pages(
    connection: Connection, line: str, question: dict[str, Any], what: str = "looking"
) -> Iterator[dict[str, Any]]:
    """The replies to a question, one after the other, with a bar for what has been looked at.

    The question is read anew for each page; only ``after`` is not the asker's business.
    """
    examined, after = 0, question.get("after")
    with Progress(what, None) as progress:
        while True:
            page: dict[str, Any] = connection.ask(line, {**question, "after": after})
            examined += page["examined"]
            progress.total = progress.total or page["size"]
            progress.update(examined)
            yield page
            after = page["next"]
            if after is None:
                return


def _gather(
    connection: Connection, line: str, question: dict[str, Any], limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The first ``limit`` jobs, and where the rest begins."""
    jobs: list[dict[str, Any]] = []
    cursor: str | None = None
    question = {**question, "limit": min(limit, _PAGE)}
    for page in pages(connection, line, question):
        jobs += page["jobs"]
        cursor = page["next"]
        if len(jobs) >= limit:
            break
        question["limit"] = min(limit - len(jobs), _PAGE)
    return jobs, cursor


def count(connection: Connection, question: dict[str, Any]) -> int:
    """How many jobs match."""
    return sum(page["matched"] for page in pages(connection, "ADMIN LIST", {**question, "limit": 0}))


def _show(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        jobs = [job for page in pages(connection, "ADMIN SHOW", {"jid": options.jid}) for job in page["jobs"]]
    if options.json:
        out_json({"jobs": jobs})
    elif jobs:
        for number, job in enumerate(jobs):
            out(*([""] if number else []), *_details(job))
    if not jobs:
        raise ConsoleError(f"there is no job with the jid {printable(options.jid)}: it is done, or was never pushed")
    return 0


def _details(view: dict[str, Any]) -> list[str]:
    """A job, a member a line; its backtrace and what it failed with at the end."""
    job = dict(view["job"])
    failure = job.pop("failure", None) or {}
    shown = {name: value for name, value in view.items() if name != "job" and value not in (None, "")}
    shown |= job
    lines = [f"{name + ':':<13} {_value(value)}" for name, value in shown.items()]
    if failure:
        backtrace = failure.pop("backtrace", None) or []
        lines += ["failure:"]
        lines += [f"  {name + ':':<11} {_value(value)}" for name, value in failure.items()]
        lines += [f"    {printable(line)}" for line in backtrace]
    return lines


def _value(value: object) -> str:
    return printable(value) if isinstance(value, str) else compact(value)


_COLUMNS: dict[str, tuple[str, ...]] = {
    "queued": ("JID", "TYPE", "PRIORITY", "ENQUEUED", "ARGUMENTS"),
    "scheduled": ("JID", "QUEUE", "TYPE", "DUE", "ARGUMENTS"),
    "retries": ("JID", "QUEUE", "TYPE", "DUE", "RETRY", "ERROR", "ARGUMENTS"),
    "dead": ("JID", "QUEUE", "TYPE", "FAILED", "RETRY", "ERROR", "ARGUMENTS"),
    "working": ("JID", "QUEUE", "TYPE", "WORKER", "SINCE", "UNTIL", "ARGUMENTS"),
}
_CELLS: dict[str, Callable[[dict[str, Any]], object]] = {
    "JID": lambda facts: facts["jid"],
    "QUEUE": lambda facts: facts["queue"],
    "TYPE": lambda facts: facts["jobtype"],
    "PRIORITY": lambda facts: facts.get("priority", "-"),
    "ENQUEUED": lambda facts: _to_second(facts.get("enqueued_at")),
    "DUE": lambda facts: _to_second(facts["at"]),
    "FAILED": lambda facts: _to_second(facts.get("failed_at")),
    "RETRY": lambda facts: facts.get("retry_count", 0),
    "ERROR": lambda facts: _short(f"{facts.get('errtype') or ''}: {facts.get('message') or ''}"),
    "WORKER": lambda facts: facts["wid"] or "-",
    "SINCE": lambda facts: _to_second(facts["reserved_at"]),
    "UNTIL": lambda facts: _to_second(facts["expires_at"]),
    "ARGUMENTS": lambda facts: _short(compact(facts["args"])),
}


def _table(place: str, views: Sequence[dict[str, Any]]) -> list[str]:
    columns = _COLUMNS[place]
    facts = [{**(view["job"].get("failure") or {}), **view["job"], **view} for view in views]
    return table(columns, [[_CELLS[column](each) for column in columns] for each in facts], right="PRIORITY RETRY")


def _to_second(time: str | None) -> str:
    """A time without its fraction."""
    return f"{time[:19]}Z" if time else "-"


def _short(text: str) -> str:
    return text if len(text) <= _SHORT_BYTES else text[: _SHORT_BYTES - 1] + "…"


# -- changing ----------------------------------------------------------------------------------------------------------


def _change(options: argparse.Namespace) -> int:
    verb, condition = options.verb, wanted(options)
    question: dict[str, Any] = {"place": options.place, "filter": condition}
    if options.place == "queued":
        question["queue"] = condition.pop("queue", "")
        if not question["queue"]:
            raise UsageError("say which queue: --queue NAME")
    if verb == "PRIORITY":
        question["priority"] = options.priority
    if bool(condition) == options.all:
        raise UsageError("say which jobs: jids, filters such as --jobtype, or --all, but not --all and others")
    with common.connect(options) as connection:
        found = _found(connection, question)
        if not found and "jids" in condition:
            raise ConsoleError(f"none of these jobs is in {_place(question)}")
        asked = _ASKED[verb].format(f"{plural(found)} of {_place(question)}")
        changed = 0
        if found and not confirmed(f"{asked}?", yes=options.yes):
            return 1
        if found and options.place in _SETS and set(condition) <= {"jids"}:
            _mutate(connection, options, found)
            changed = found
        elif found:
            changed = sum(page["matched"] for page in pages(connection, f"ADMIN {verb}", question, "changing"))
    out_json({"changed": changed}) if options.json else out(f"{plural(changed)} {_DONE[verb]}.")
    return 0


def _cancel(options: argparse.Namespace) -> int:
    asked, refused = 0, {}
    with common.connect(options) as connection:
        for jid in options.jids:
            try:
                asked += connection.ask("ADMIN CANCEL", {"jid": jid})["asked"]
            except Refused as refusal:
                if refusal.unknown:
                    raise
                refused[jid] = refusal.reason
    if options.json:
        out_json({"asked": asked, "refused": refused})
    elif asked:
        out(f"{plural(asked)} asked to stop. The workers that look learn it at their next heartbeat.")
    if refused:
        raise ConsoleError("\n".join(refused.values()))
    return 0


def _found(connection: Connection, question: dict[str, Any]) -> int:
    """How many jobs are meant."""
    asked = {name: value for name, value in question.items() if name != "priority"}
    if question["filter"]:
        return count(connection, asked)
    facts = connection.ask("INFO")["faktory"]
    sizes: dict[str, int] = facts["queues"] if "queue" in question else facts["sets"]
    return sizes.get(question.get("queue", question["place"]), 0)


def _place(question: dict[str, Any]) -> str:
    return f"the queue {printable(question['queue'])}" if "queue" in question else f"the set {question['place']}"


def _mutate(connection: Connection, options: argparse.Namespace, found: int) -> None:
    """Have MUTATE do it, which any Faktory knows; the size of the set tells how far it is."""
    request: dict[str, Any] = {"cmd": _MUTATIONS[options.verb], "target": options.place}
    if not options.all:
        request["filter"] = {"jids": wanted(options)["jids"]}
    elif options.verb == "DELETE":
        request["cmd"] = "clear"
    with Progress("changing", found) as progress, common.connect(options) as watching:
        at_first = watching.ask("INFO")["faktory"]["sets"][options.place]

        def meanwhile() -> None:
            progress.update(max(at_first - watching.ask("INFO")["faktory"]["sets"][options.place], 0))

        connection.ask("MUTATE", request, seconds=FOREVER, meanwhile=meanwhile)
