"""The Node client library `faktory-worker`, unmodified, as producer and as worker.

It splits the greeting at a space and keeps a pool of connections with one worker id, which is what makes it worth
running beside the Python ones. Where Node or the library is not installed, these tests are skipped with the reason.
"""

from __future__ import annotations

from pathlib import Path

from tests.system import stories
from tests.system.conftest import MakeServer
from tests.system.libraries import NODE_CLIENT, PYFAKTORY
from tests.system.server import Server

PASSWORD = "correct-horse"


def test_a_job_pushed_by_node_is_done_by_node(server: Server) -> None:
    stories.jobs_are_done(server, NODE_CLIENT, NODE_CLIENT)


def test_a_job_pushed_by_node_is_done_by_node_with_a_password(make_server: MakeServer) -> None:
    stories.jobs_are_done(make_server(password=PASSWORD), NODE_CLIENT, NODE_CLIENT)


def test_a_job_pushed_by_pyfaktory_is_done_by_node(server: Server) -> None:
    stories.jobs_are_done(server, PYFAKTORY, NODE_CLIENT)


def test_a_job_pushed_by_node_is_done_by_pyfaktory(server: Server) -> None:
    stories.jobs_are_done(server, NODE_CLIENT, PYFAKTORY)


def test_a_job_that_fails_in_node_is_retried(server: Server, tmp_path: Path) -> None:
    stories.jobs_that_fail_are_retried(server, NODE_CLIENT, tmp_path)


def test_a_job_that_failed_in_node_says_why(server: Server) -> None:
    stories.failures_are_told(server, NODE_CLIENT)


def test_a_job_scheduled_by_node_is_done_when_its_time_has_come(server: Server) -> None:
    stories.scheduled_jobs_wait(server, NODE_CLIENT)


def test_a_bulk_push_of_node_is_done(server: Server) -> None:
    stories.bulk_pushes_arrive(server, NODE_CLIENT)


def test_node_sees_that_its_password_is_wrong(make_server: MakeServer) -> None:
    stories.wrong_passwords_are_refused(make_server(password=PASSWORD), NODE_CLIENT, "Invalid password")
