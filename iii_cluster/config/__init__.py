"""Settings: the reference's config.yaml, our cluster section, flags and environment."""
