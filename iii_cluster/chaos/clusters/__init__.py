"""The clusters a run can break: one of its own, or one that runs already."""
