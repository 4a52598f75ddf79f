"""From data to pictures: MPI and hologram reconstruction."""
