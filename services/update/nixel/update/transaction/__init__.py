"""Putting another system on a machine: tried first, kept only if it is healthy, taken back otherwise.

`model` and `machine` are pure and decide; `journal` and `history` remember; `driver` carries out what was decided,
through the `effects`.
"""
