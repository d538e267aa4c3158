"""The translator that Firefox ships: small models, on the CPU, offline.

`model_files` finds the models. `sentence_splitter` divides text to fit the model's window. `phrasebook` corrects short
utterances that such models get wrong.
"""

__all__ = [
    "engine",
    "model_files",
]
