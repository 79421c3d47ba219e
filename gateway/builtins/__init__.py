"""Functions of the engine itself (`engine::*`), answered by whichever gateway is asked for the whole cluster."""
