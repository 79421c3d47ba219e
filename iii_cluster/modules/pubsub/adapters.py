"""Adapter names of existing configuration files. Whichever is named, the cluster's own bus delivers."""

from iii_cluster.modules.cluster_adapter import Cluster


class Local(Cluster):
    """One process alone."""
