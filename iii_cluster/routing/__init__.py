"""Where a function lives and who listens to a trigger type: watched, cached, balanced."""
