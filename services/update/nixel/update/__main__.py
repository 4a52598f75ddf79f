"""`python -m nixel.update` is `nixel-update`."""

import sys

from .cli import main

sys.exit(main())
