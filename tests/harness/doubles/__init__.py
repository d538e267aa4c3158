"""Stand-ins for third parties: model servers, a model hub, an OTLP collector, a network, a language model.

Each implements the original's contract as far as Parley uses it, and has a state that a test reads and sets.
"""
