"""The HTTP port: requests from outside become calls of functions."""
