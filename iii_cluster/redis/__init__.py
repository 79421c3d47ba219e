"""Commands of modules to Redis: many at once over few round trips."""
