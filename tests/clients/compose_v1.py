"""Runs `docker-compose --file FILE config --quiet` of Compose 1 for each file, in one process. Exits with 1 at the first
file that it refuses."""

import logging
import sys

from compose.cli.main import main

for file in sys.argv[1:]:
    logging.getLogger().handlers.clear()  # Each run adds one.
    sys.argv = ["docker-compose", "--file", file, "config", "--quiet"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{file}: refused")
