"""`python -m gagjax` is the command line."""

import sys

from gagjax.app.cli import main

sys.exit(main())
