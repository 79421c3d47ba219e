"""An example of a module in a package of its own: meters that count, and tell when they pass a limit."""
