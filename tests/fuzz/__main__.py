"""Fuzz what reads bytes from outside, guided by coverage.

    python -m tests.fuzz TARGET... | all [--seconds N] [--corpus DIR]
    python -m tests.fuzz TARGET --replay FILE

Each target gets N seconds, one after the other. Needs atheris: ``pip install -e '.[fuzz]'``; replaying does not. Inputs
that break something are kept in DIR/crashes, and told with how to replay them; what was found beside in DIR/corpus, from
which a later run goes on. ``--keep`` puts some of them into tests/data/fuzz.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MISSING = (
    "atheris is not installed, which fuzzes guided by coverage: pip install 'atheris>=3' (CPython 3.11 to 3.13 on Linux). "
    "Without it there are --replay FILE, and python -m pytest tests/fuzz"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, or replay."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="all, or some of tests/fuzz/targets")
    parser.add_argument("--seconds", type=float, default=60, help="for each target; default 60")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="where inputs are kept; default: a new directory")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input, and show what it breaks")
    parser.add_argument("--keep", action="store_true", help="put some of what is found into tests/data/fuzz")
    parser.add_argument("--be", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--crashes", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return replay(_targets()[options.targets[0]], options.replay)
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        parser.exit(2, f"{MISSING}\n")
    if options.be is not None:
        be(atheris, options)
        return 0
    names = list(_targets()) if options.targets == ["all"] else options.targets
    if unknown := sorted(set(names) - set(_targets())):
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(_targets())}")
    return campaign(names, options)


def _targets() -> dict[str, Any]:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - atheris has to be there before what it instruments

    return TARGETS


def replay(target: Any, path: Path) -> int:
    """Run one input. What it breaks is raised."""
    began = time.process_time()
    target.run(path.read_bytes())
    sys.stdout.write(f"nothing is broken, {(time.process_time() - began) * 1000:.0f} ms\n")
    return 0


def be(atheris: Any, options: argparse.Namespace) -> None:
    """Be the process that fuzzes one target."""
    with atheris.instrument_imports(include=["faktory_tw"]):
        from tests.fuzz import campaign, words  # noqa: PLC0415

        target = _targets()[options.targets[0]]
    dictionary = options.be.with_name("words")
    words.write_dictionary(dictionary)
    watch = campaign.Watch(target.run, options.crashes, options.be)
    flags = [
        f"-max_total_time={options.seconds:.0f}",
        f"-max_len={target.max_bytes}",
        f"-dict={dictionary}",
        f"-artifact_prefix={options.crashes}/",
        f"-timeout={campaign.MOST_SECONDS}",
        f"-rss_limit_mb={campaign.MOST_MEMORY_MIB}",
        "-print_final_stats=1",
        "-len_control=20",
    ]
    atheris.Setup([sys.argv[0], *flags, str(options.corpus)], watch)
    atheris.Fuzz()


def campaign(names: Sequence[str], options: argparse.Namespace) -> int:
    """Fuzz one target after the other, and print a table."""
    from tests.fuzz import campaign as one  # noqa: PLC0415
    from tests.fuzz import corpus  # noqa: PLC0415

    directory = options.corpus or Path(tempfile.mkdtemp(prefix="faktory-fuzz-"))
    outcomes = []
    for name in names:
        seeds = [*corpus.kept(name), *_targets()[name].begin_with()]
        outcomes.append(one.fuzz(name, options.seconds, seeds, directory, _progress))
        if options.keep:
            one.keep(name, seeds, directory)
    _progress("")
    rows = [one.HEAD, *(outcome.row() for outcome in outcomes)]
    sys.stdout.write("\n".join(rows) + "\n")
    for outcome in outcomes:
        for path, what in outcome.failures.items():
            sys.stdout.write(f"\n{outcome.target}: {what}\n  python -m tests.fuzz {outcome.target} --replay {path}\n")
    return 1 if any(outcome.failures for outcome in outcomes) else 0


def _progress(text: str) -> None:
    sys.stderr.write(f"\r{text[:110]:<110}" if sys.stderr.isatty() else f"{text}\n" if "#" in text else "")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
