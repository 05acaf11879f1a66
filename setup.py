"""Packaging. The metadata is here and the settings of the tools are in pyproject.toml.

`package_dir={"": "."}` looks like the default and is not: with it an editable install writes a .pth file that puts this
directory on sys.path, and only so does Twisted find twisted/plugins/faktory_tw_plugin.py there. That folder must not
have an __init__.py: the twisted.plugins of Twisted itself would be hidden by it, or hide it.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """Return `__version__` of the package, read as text: importing it would need what is to be installed."""
    text = (HERE / "faktory_tw" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__(?:: \w+)? = "([^"]+)"', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("faktory_tw/__init__.py has no __version__")
    return match.group(1)


def description() -> str:
    """Return the README, which is what a package index shows."""
    readme = HERE / "README.rst"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="faktory_tw",
    version=version(),
    description="A background job server on Twisted that speaks the Faktory work protocol",
    long_description=description(),
    long_description_content_type="text/x-rst",
    license="MIT",
    license_files=["LICENSE"],
    author="faktory_tw contributors",
    keywords=["faktory", "background jobs", "job queue", "job server", "twisted"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: System :: Distributed Computing",
    ],
    python_requires=">=3.10",
    entry_points={"console_scripts": ["faktory-tw = faktory_tw.cli:main"]},
    package_dir={"": "."},
    packages=[*find_packages(include=["faktory_tw", "faktory_tw.*", "web", "web.*"]), "twisted.plugins"],
    package_data={
        "faktory_tw.storage": ["schema/*.sql"],
        "web": ["openapi.json", "templates/**/*", "static/**/*", "translations/**/*"],
    },
    install_requires=[
        # The reactor, the protocol's transport and the twistd plugin; 24.7 is the first release for Python 3.13.
        "twisted>=24.7",
        # Routes of the web UI and of /health and /stats.
        "klein>=24.8",
        # The pages: templates that escape every value. 3.1 is the first that keeps its promises under Python 3.10.
        "jinja2>=3.1",
        # Numbers, dates and plurals in the 27 languages of the pages; 2.14 is the first for Python 3.13.
        "babel>=2.14",
        # Priorities in a queue and the sets ordered by time; 2.4 is the last release and the one that is tested.
        "sortedcontainers>=2.4",
        # Certificates for a TLS endpoint in development, made on the spot; production leaves TLS to a front end.
        "cryptography>=42",
        # Decodes jobs and keeps args and custom as the bytes the producer wrote; 0.19 is the first for Python 3.13.
        "msgspec>=0.19",
        # What /metrics says, in Prometheus' own words; 0.23.1 names the format that is written.
        "prometheus-client>=0.23.1",
        # What the fields of a cron schedule mean. It keeps to Debian's cron, is small, typed, and depends on nothing; croniter
        # knows more forms than cron has and needs dateutil. 2.7 is the last for Python 3.10.
        "cronsim>=2.7",
        # Time zones, where the system has none, as in many containers.
        "tzdata",
        # Configuration files, where Python has no tomllib yet.
        "tomli>=2; python_version < '3.11'",
    ],
    extras_require={
        # TLS endpoints for development: what Twisted needs for them, and the first pyOpenSSL that takes the certificates of
        # cryptography. Not installed with the rest, because Twisted loads OpenSSL, twelve MiB, wherever it finds it.
        "tls": ["twisted[tls]>=24.7", "pyopenssl>=24.3"],
        "test": [
            # The tests four at a time: most of them wait more than they work.
            "pytest-xdist>=3.6",
            # The test runner.
            "pytest>=8.2",
            # Lets a test return a Deferred.
            "pytest-twisted>=1.14",
            # Holds the description of the HTTP API against its specification, and answers against the description.
            "openapi-spec-validator>=0.7",
            # Drives Debian's Chromium through the pages; 4.15 is the first that takes a driver without looking for one.
            "selenium>=4.15",
            # The state machine that compares memory, disk and a model.
            "hypothesis>=6.100",
            # Two client libraries that the system tests run unmodified against the server.
            "faktory>=1.0",
            # Alert rules for Prometheus are YAML.
            "pyyaml>=6",
            "pyfaktory>=0.2.11",
            # Builds the wheel that the deployment tests install; 70.1 is the first that needs nothing else for it.
            "setuptools>=70.1",
        ],
        "fuzz": [
            # Fuzzing guided by coverage, python -m tests.fuzz; it has wheels for CPython 3.11 to 3.13 on Linux only.
            "atheris>=3; sys_platform == 'linux' and python_version >= '3.11' and python_version < '3.14'",
        ],
        "bench": [
            # Draws what tests/bench/long_run has measured; without it there is only the table. 3.9.2 is the first for Python 3.13.
            "matplotlib>=3.9.2",
        ],
        "lint": [
            # Linter and formatter.
            "ruff>=0.8",
            # Types.
            "mypy>=1.13",
            # Types of PyYAML, which a test uses.
            "types-PyYAML",
            # Teaches mypy zope.interface, with which Twisted declares its interfaces.
            "mypy-zope>=1.0.8",
            # Which package may import which.
            "import-linter>=2.5",
            # What looks dangerous in the code; 1.7.5 is the first for Python 3.12.
            "bandit[toml]>=1.7.5",
            # Whether the pages of the documentation can be laid out; 0.18 is the first that is called so.
            "docutils>=0.18",
            # Which of the packages that are installed have known vulnerabilities.
            "pip-audit>=2.7",
        ],
    },
)
