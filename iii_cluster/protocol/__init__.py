"""What workers and the engine say to each other: messages, frames, error codes."""
