"""Trigger types the engine itself fires: they have no provider connection."""

WORKERS_AVAILABLE = "engine::workers-available"
FUNCTIONS_AVAILABLE = "engine::functions-available"

BUILTIN_TRIGGER_TYPES = frozenset({WORKERS_AVAILABLE, FUNCTIONS_AVAILABLE})
