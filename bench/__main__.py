"""Imports nothing unless it is the program itself: processes of figures load this module too."""

import sys

if __name__ == "__main__":
    from bench.cli import main

    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
