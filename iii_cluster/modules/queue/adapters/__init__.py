"""Where jobs are kept, and how they come back from there."""
