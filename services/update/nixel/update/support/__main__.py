"""`python -m nixel.update.support` is `nixel-support`."""

import sys

from nixel.update.support.cli import main

sys.exit(main())
