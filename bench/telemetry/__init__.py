"""What it costs to look."""
