"""What the ports for workers and for stream clients do alike: WebSockets, their pace and their time limits."""
