"""What every role's process is made of: its life cycle, admin port and logs."""
