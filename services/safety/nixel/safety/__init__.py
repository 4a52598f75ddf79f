"""The safety daemon of nixel, its client and its command line."""
