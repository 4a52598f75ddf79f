"""How much is proved: a few minutes' worth, or with `NIXEL_PROOF=long` all of it."""

import os

THOROUGH = os.environ.get("NIXEL_PROOF") == "long"
LIMIT = 4 * 3600 if THOROUGH else 900  # s that a test may take
