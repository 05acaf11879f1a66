"""What continuous integration makes of what pip-audit says: findings fail, a missing network does not."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests import audit as audit_program

SAFE = {"name": "twisted", "version": "24.7", "vulns": []}
SKIPPED = {"name": "klein", "skip_reason": "Dependency not found on PyPI and could not be audited: klein (24.8)"}
FLAWED = {
    "name": "jinja2",
    "version": "3.1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3.1.6"]}],
}


class Audit:
    """The program, and what pip-audit will say to it, service by service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = audit_program
        monkeypatch.setattr(audit_program, "ACCEPTED", {})
        self.says: dict[str, tuple[str, str]] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(subprocess, "run", self._run)

    def _run(self, command: list[str], **_: Any) -> Any:
        service = command[command.index("--vulnerability-service") + 1]
        self.asked.append(service)
        output, complaint = self.says.get(service, ("", "requests.exceptions.ConnectionError: no such host"))
        if complaint == "hangs":
            raise subprocess.TimeoutExpired(command, 1)
        return subprocess.CompletedProcess(command, 0, output, complaint)

    def knows(self, service: str, *dependencies: dict[str, Any]) -> None:
        self.says[service] = json.dumps({"dependencies": dependencies, "fixes": []}), ""


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Audit:
    return Audit(monkeypatch)


def test_a_vulnerability_fails(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    audit.knows("pypi", SAFE, FLAWED)
    assert audit.program.main() == 1
    assert "jinja2 3.1.0 has PYSEC-1, fixed in 3.1.6" in capsys.readouterr().out


def test_a_vulnerability_that_is_accepted_does_not_fail(audit: Audit) -> None:
    audit.knows("pypi", SAFE, FLAWED)
    audit.program.ACCEPTED["CVE-1"] = "that part is not used"
    assert audit.program.main() == 0


def test_packages_without_vulnerabilities_do_not_fail(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    audit.knows("pypi", SAFE, SKIPPED)
    assert audit.program.main() == 0
    told = capsys.readouterr().out
    assert "1 packages audited by pypi, 0 vulnerabilities found" in told
    assert "not known to pypi: klein" in told


def test_a_service_that_knows_no_package_is_not_taken_for_one(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    audit.knows("pypi", SKIPPED, SKIPPED)
    audit.knows("osv", FLAWED)
    assert audit.program.main() == 1
    assert audit.asked == ["pypi", "osv"]
    assert "NOT AUDITED" not in capsys.readouterr().out


@pytest.mark.parametrize("complaint", ["requests.exceptions.ConnectionError: no such host", "hangs"])
def test_a_missing_network_does_not_fail_and_is_told(
    audit: Audit, capsys: pytest.CaptureFixture[str], complaint: str
) -> None:
    audit.says["pypi"] = "", complaint
    assert audit.program.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().out


@pytest.mark.parametrize("said", [("", "usage: pip_audit [-h]"), ("[]", ""), ("", "")])
def test_a_pip_audit_that_does_not_work_fails(audit: Audit, said: tuple[str, str]) -> None:
    audit.says["pypi"] = said
    assert audit.program.main() == 1
