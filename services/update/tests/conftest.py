"""Lets the tests of this folder share a module, wherever they run: in the workspace or in a package's own build."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
