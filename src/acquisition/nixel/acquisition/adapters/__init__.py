"""Adapters: one device protocol over one wire each."""
