"""A stick: a folder that brings systems to machines, each pinned by a signed manifest, over one shared binary cache."""

from nixel.update.stick.folder import Folder
from nixel.update.stick.verify import Verified, hosts, read, verify
from nixel.update.stick.write import About, Source, Written, write

__all__ = ["About", "Folder", "Source", "Verified", "Written", "hosts", "read", "verify", "write"]
