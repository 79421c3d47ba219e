"""The stream port: clients that follow groups and items of streams."""
