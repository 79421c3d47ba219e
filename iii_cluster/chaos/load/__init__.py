"""The workers of a chaos run: what they register, whom they call."""
