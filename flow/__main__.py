"""`python -m flow`: the command line."""

import sys

from flow.cli.main import main

sys.exit(main())
