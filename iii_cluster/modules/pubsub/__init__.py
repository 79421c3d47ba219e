"""Pub/sub: `publish` tells every `subscribe` trigger of a topic, wherever in the cluster it is registered."""
