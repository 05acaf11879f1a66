"""The power is cut at many moments of a server's life; what was acknowledged is there each time. See power_loss.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.power_loss import Life, Recording, check_recording, examine
from tests.system.small_log import make_small
from tests.system.torture import table

CUTS, STARTS, ROUNDS, SEED = 60, 2, 25, 7


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """A life that was recorded, with a small log."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        recording = Recording(tmp_path_factory.mktemp("power"), ROUNDS, SEED)
        life = recording.live()
        assert recording.failures == []
        yield life


def test_the_recording_leaves_nothing_out(life: Life) -> None:
    assert check_recording(life) == []


def test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged_and_brings_nothing_back(life: Life) -> None:
    verdict = examine(life, cuts=CUTS, starts=STARTS, seed=SEED).verdict
    print(table(verdict, 0))  # noqa: T201 - shown by pytest when the test fails, and with -s
    assert not verdict.wrong, verdict.text()
    assert verdict.figures["acknowledgements that were to be kept"] > 10_000
    assert verdict.figures["... syncs of the database"] > 4  # checkpoints
    assert verdict.figures["backups made"] == 2


def test_a_disk_that_forgets_what_it_was_told_to_sync_is_found_out(life: Life) -> None:
    verdict = examine(life, cuts=20, starts=0, seed=SEED, lying=True).verdict
    assert any(kind.startswith("acknowledged and lost") for kind in verdict.wrong)
    assert any(kind.startswith("a backup that was made is gone") for kind in verdict.wrong)
