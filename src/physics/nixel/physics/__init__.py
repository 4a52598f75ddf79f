"""Forward models of nixel: optics, the MPI signal, phantoms."""
