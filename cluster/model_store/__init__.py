"""The model files of this machine: what is installed, and downloads from Hugging Face and Mozilla.

`local_models` lists them, resolves a name to files, and pulls those. `downloads` resumes and verifies single files.

The engine plan (`cluster.engine_plan`) selects an engine's model; presets are in `serve.engines.model_presets`.
"""

__all__ = [
    "local_models",
]
