"""`python -m nixel.safety` is `nixel-safety`."""

import sys

from nixel.safety.cli import main

sys.exit(main())
