"""File formats that nixel reads and writes; every writer leaves a whole file or none."""
