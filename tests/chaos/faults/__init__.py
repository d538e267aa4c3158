"""Faults: a proxy before a store, a network partition, engines that fail or hang."""
