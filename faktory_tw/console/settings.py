"""``check-config``: whether a server would start with this configuration, and with which settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from faktory_tw import config
from faktory_tw.console import options as common
from faktory_tw.console.errors import ConsoleError
from faktory_tw.console.terminal import note, out, out_json, plural, table


def add(commands: Any, check_address: Callable[[str], object]) -> None:
    """The command. ``check_address`` raises ConfigError for what a server cannot listen on."""
    parser = common.command(
        commands,
        "check-config",
        _check,
        "check files, environment variables and passwords as a server would read them",
        description="Read configuration files, environment variables and passwords as a server would, say what is wrong, "
        "and which settings are in effect. Secrets are not shown. Run it as the user that runs the server.",
        server=False,
    )
    parser.add_argument("-c", "--config", metavar="DIR", help="the configuration directory [as for the server]")
    parser.add_argument("-e", "--environment", metavar="NAME", help="development, staging or production")
    parser.set_defaults(check_address=check_address)


def _check(options: argparse.Namespace) -> int:
    from faktory_tw.features.cron import check_job  # noqa: PLC0415 - the other commands do without the domain

    given = {"environment": options.environment}
    found = config.check(options.config, os.environ, given, options.check_address, check_job)
    if options.json:
        out_json(
            {
                "problems": list(found.problems),
                "warnings": list(found.warnings),
                "left_out": list(found.left_out),
                "settings": [row._asdict() for row in found.rows],
            }
        )
    else:
        if found.rows:
            out(*table(("SETTING", "VALUE", "FROM"), found.rows))
        for warning in found.warnings:
            note(f"warning: {warning}")
        for problem in (*found.left_out, *found.problems):
            note(f"problem: {problem}")
    if found.problems:
        raise ConsoleError(f"{plural(len(found.problems), 'problem')}: a server would not start")
    if found.left_out:
        raise ConsoleError(f"{plural(len(found.left_out), 'problem')}: a server would start without these entries")
    return 0
