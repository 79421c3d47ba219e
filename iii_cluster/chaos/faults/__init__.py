"""Faults: which there are, when they happen, and how they are carried out."""
