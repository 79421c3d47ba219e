"""Functions that this gateway calls over HTTP in the place of the worker that registered them."""
