"""Integration tests: one package with real stores, Ray, models or servers on loopback."""
