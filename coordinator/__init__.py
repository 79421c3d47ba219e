"""Coordinators track membership, assign slots and clean up after lost workers."""
