"""The two Python client libraries, unmodified, as producers and as workers.

They differ where it hurts: `faktory` sends no protocol version and hashes the password once, writes JSON with spaces and
throws away what arrives behind the reply it reads; `pyfaktory` hashes as told, sends `"at": ""`, counts line ends to find
the end of a reply and beats from a thread.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import stories
from tests.system.conftest import MakeServer
from tests.system.libraries import FAKTORY, PYFAKTORY, Library
from tests.system.server import Server

PASSWORD = "correct-horse"

both = pytest.mark.parametrize("library", [FAKTORY, PYFAKTORY], ids=lambda library: library.name)


def test_a_job_pushed_by_faktory_is_done_by_faktory(server: Server) -> None:
    stories.jobs_are_done(server, FAKTORY, FAKTORY)


def test_a_job_pushed_by_pyfaktory_is_done_by_pyfaktory(server: Server) -> None:
    stories.jobs_are_done(server, PYFAKTORY, PYFAKTORY)


def test_a_job_pushed_by_pyfaktory_is_done_by_faktory_with_a_password(make_server: MakeServer) -> None:
    stories.jobs_are_done(make_server(password=PASSWORD), PYFAKTORY, FAKTORY)


def test_a_job_pushed_by_faktory_is_done_by_pyfaktory_with_a_password(make_server: MakeServer) -> None:
    stories.jobs_are_done(make_server(password=PASSWORD), FAKTORY, PYFAKTORY)


@both
def test_a_job_that_fails_is_retried(server: Server, library: Library, tmp_path: Path) -> None:
    stories.jobs_that_fail_are_retried(server, library, tmp_path)


@both
def test_a_failed_job_says_why(server: Server, library: Library) -> None:
    stories.failures_are_told(server, library)


@both
def test_a_scheduled_job_is_done_when_its_time_has_come(server: Server, library: Library) -> None:
    stories.scheduled_jobs_wait(server, library)


def test_a_bulk_push_of_pyfaktory_is_done(server: Server) -> None:
    stories.bulk_pushes_arrive(server, PYFAKTORY)


def test_faktory_sees_that_its_password_is_wrong(make_server: MakeServer) -> None:
    stories.wrong_passwords_are_refused(make_server(password=PASSWORD), FAKTORY, "FaktoryAuthenticationError")


def test_pyfaktory_sees_that_its_password_is_wrong(make_server: MakeServer) -> None:
    stories.wrong_passwords_are_refused(make_server(password=PASSWORD), PYFAKTORY, "Invalid password")
