"""`python -m nixel.safety` is `nixel-safety`."""

import sys

from .cli import main

sys.exit(main())
