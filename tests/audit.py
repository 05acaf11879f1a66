"""``python -m tests.audit``: which of the installed packages have known vulnerabilities, as pip-audit knows; 1 if any has.

pip-audit needs a service on the Internet that knows them. Where none answers, which a package index that is only a mirror
does not either, this says so and does not fail: that a network is missing is no fault of the code. pip-audit itself would
say "No known vulnerabilities found" then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SERVICES = ("pypi", "osv")
SECONDS = 300
ACCEPTED: dict[str, str] = {}  # vulnerabilities, by their ids, that are none here, and why
_UNREACHABLE = ("ConnectionError", "ServiceError", "Timeout", "Max retries", "HTTPError")


def main() -> int:
    """Ask one service after the other until one knows something."""
    for service in SERVICES:
        told, complaint = ask(service)
        dependencies = told.get("dependencies", [])
        audited = [each for each in dependencies if "skip_reason" not in each]
        if audited:
            return report(service, audited, [each["name"] for each in dependencies if "skip_reason" in each])
        if complaint and not any(word in complaint for word in _UNREACHABLE):
            say(f"pip-audit failed:\n{complaint}")
            return 1
        say(f"The service {service} does not answer, or knows none of {len(dependencies)} packages.")
    say("NOT AUDITED: no service that knows vulnerabilities can be reached from here.")
    return 0


def ask(service: str) -> tuple[dict[str, Any], str]:
    """What a service says, and what pip-audit complains of when that is nothing."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"]
    command += ["--skip-editable", "--progress-spinner", "off", "--timeout", "15"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {}, "Timeout"
    try:
        told = json.loads(asked.stdout)
    except ValueError:
        return {}, asked.stderr or "it says nothing"
    return (told, "") if isinstance(told, dict) else ({}, "it says something that was not expected")


def report(service: str, audited: list[dict[str, Any]], skipped: list[str]) -> int:
    """Say what was found; 1 if there is anything that is not accepted."""
    found = [
        (each["name"], each["version"], flaw)
        for each in audited
        for flaw in each.get("vulns", [])
        if not {flaw["id"], *flaw.get("aliases", [])} & ACCEPTED.keys()
    ]
    for name, version, flaw in found:
        fixed = ", ".join(flaw.get("fix_versions", [])) or "no version yet"
        say(f"{name} {version} has {flaw['id']}, fixed in {fixed}")
    if skipped:
        say(f"not known to {service}: {', '.join(skipped)}")
    say(f"{len(audited)} packages audited by {service}, {len(found)} vulnerabilities found")
    return 1 if found else 0


def say(text: str) -> None:
    """Say something to who reads the output of continuous integration."""
    print(text)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
