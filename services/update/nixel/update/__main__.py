"""`python -m nixel.update` is `nixel-update`."""

import sys

from nixel.update.cli import main

sys.exit(main())
