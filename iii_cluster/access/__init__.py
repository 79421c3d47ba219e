"""Who may do what: rules of listeners and of single workers, without any I/O."""
