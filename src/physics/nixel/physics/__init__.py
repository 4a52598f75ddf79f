"""Forward models of nixel: optics, image sensors, the MPI signal, phantoms.

Functions take and return NumPy arrays in SI units; nothing here reads configuration, opens a file or prints.
"""
