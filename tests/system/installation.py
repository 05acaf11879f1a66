"""The package as a user has it: built as a wheel and installed, not the checkout.

A fresh virtual environment gets the wheel and, by a .pth file, the dependencies of the running one: downloading them again
would take longer than all the tests. A .pth file adds one directory and does not read the .pth files in it, so that an
editable install of this project in the running environment stays invisible.
"""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.requirements import missing
from tests.system.server import clean_environment, script

CHECKOUT = Path(__file__).resolve().parents[2]
NEEDED = ["setup.py", "pyproject.toml", "LICENSE", "README.rst", "faktory_tw", "web", "twisted"]
TIMEOUT_SECONDS = 180


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it. `wheel` is the built file."""

    directory: Path
    wheel: Path

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.directory / "bin" / "python"

    def script(self, name: str) -> str:
        """Return the path of a script of the environment, as `server.script` does for the running one."""
        return str(self.directory / "bin" / name)

    @property
    def environment(self) -> dict[str, str]:
        """What a Server needs to run from here: nothing of the checkout on the path."""
        return {"PYTHONPATH": "", "VIRTUAL_ENV": str(self.directory)}

    def files(self) -> set[str]:
        """Return the names of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def run(self, *command: str, directory: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end and return it with its output."""
        return subprocess.run(
            command,
            cwd=directory,
            env=clean_environment(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def build_wheel(directory: Path) -> Path:
    """Build the wheel from a copy of the sources, so that no old build/ gets in and none is left behind."""
    if _setuptools_version() < (70, 1):
        missing("setuptools is missing or too old (pip install -e '.[test]')")
    source = directory / "source"
    source.mkdir()
    for name in NEEDED:
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        elif path.exists():
            shutil.copy(path, source / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory), str(source))
    [wheel] = directory.glob("*.whl")
    return wheel


def install(directory: Path) -> Installation:
    """Build the wheel and install it into a new virtual environment below `directory`."""
    wheel = build_wheel(directory)
    environment = directory / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    installation = Installation(environment, wheel)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    _pip("--python", str(installation.python), "install", "--no-deps", "--no-index", str(wheel))
    for name in ("twistd", "twist"):
        # What pip writes for a script, with the interpreter of the new environment in the first line.
        _, _, body = Path(script(name)).read_text().partition("\n")
        path = Path(installation.script(name))
        path.write_text(f"#!{installation.python}\n{body}")
        path.chmod(0o755)
    return installation


def _setuptools_version() -> tuple[int, int]:
    try:
        major, minor = version("setuptools").split(".")[:2]
    except PackageNotFoundError:
        return (0, 0)
    return (int(major), int(minor))


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    process = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert process.returncode == 0, f"{' '.join(command)}\n{process.stdout}"
