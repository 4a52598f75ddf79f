"""Why a library, a program or a .deb does not load, read from its files: nothing of it is run."""
