"""Who may do what: tokens, hooks of listeners, filters of functions."""
