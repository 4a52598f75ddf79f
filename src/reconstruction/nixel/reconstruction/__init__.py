"""From data to pictures: MPI and hologram reconstruction.

Functions take and return NumPy arrays in SI units; nothing here reads configuration, opens a file or prints.
"""
