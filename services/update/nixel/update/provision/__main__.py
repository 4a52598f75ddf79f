"""`python -m nixel.update.provision` is `nixel-provision`."""

import sys

from nixel.update.provision.cli import main

sys.exit(main())
