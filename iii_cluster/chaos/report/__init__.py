"""What is left of a run: tables, a picture, and the numbers in them."""
