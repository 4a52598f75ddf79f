"""What a system offered to a machine consists of, pinned file by file and signed."""

from nixel.update.manifest.build import build
from nixel.update.manifest.model import Entry, File, Info, Manifest
from nixel.update.manifest.parse import parse
from nixel.update.manifest.verify import arrived, authentic, complete, fits

__all__ = ["Entry", "File", "Info", "Manifest", "arrived", "authentic", "build", "complete", "fits", "parse"]
