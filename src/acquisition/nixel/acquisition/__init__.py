"""Devices, adapters, sequences and writers of nixel, and its virtual instruments."""
