"""Who is in the cluster: nodes, slots, the cluster map, leases and the leader."""
