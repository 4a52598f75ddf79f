"""A bundle for whoever helps from afar: what the machine says of itself, without images and without secrets."""
