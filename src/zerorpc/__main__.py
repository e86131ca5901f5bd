# PYTHON_ARGCOMPLETE_OK
"""``python -m zerorpc``: the command line, for when its script is not on the path."""

import sys

from zerorpc.cli import main

if __name__ == "__main__":
    sys.exit(main())
