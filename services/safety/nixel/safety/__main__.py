"""`python -m nixel.safety` is `nixel-safety`."""

import sys

from nixel.safety.cli.main import main

sys.exit(main())
