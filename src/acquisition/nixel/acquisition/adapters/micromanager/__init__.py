"""Micro-Manager: any of its device adapters as a device of ours, its core in a worker process."""
