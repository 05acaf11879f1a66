"""`python -m tests.fuzz.http`: see :mod:`tests.fuzz.http.trial`."""

import sys

from tests.fuzz.http.trial import main

if __name__ == "__main__":
    sys.exit(main())
