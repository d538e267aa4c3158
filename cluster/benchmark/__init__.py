"""`parley bench`: measures a translation engine alone, behind Ray Serve, and from the log to the caption.

`engine_benchmark` runs the three layers with one workload, in the stores and the Ray of `environment`. `summary` computes
quantiles and ratios. Nothing here runs in production.

Replicas load `instrumented_service`, and their memory is part of the result. So this package imports nothing by itself.
"""

__all__ = [
    "engine_benchmark",
    "environment",
]
