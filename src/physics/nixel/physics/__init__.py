"""Forward models of nixel: optics, the MPI signal, phantoms.

Functions take and return NumPy arrays in SI units; nothing here reads configuration, opens a file or prints.
"""
