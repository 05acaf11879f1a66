"""What holds for every test. Fixtures of one area live in the conftest of its folder."""

from __future__ import annotations

import pytest

# The asserts in these modules are shown with their values, as those in test files are.
pytest.register_assert_rewrite("tests.system.libraries", "tests.system.server", "tests.system.stories")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's FAKTORY_URL or FAKTORY_PASSWORD out of the tests."""
    for name in ("FAKTORY_URL", "FAKTORY_PROVIDER", "FAKTORY_PASSWORD", "FAKTORY_SKIP_PASSWORD", "FAKTORY_ENV"):
        monkeypatch.delenv(name, raising=False)
