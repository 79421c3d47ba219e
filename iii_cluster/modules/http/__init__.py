"""HTTP: routes that workers register as triggers, served by every gateway (gateway/http)."""
