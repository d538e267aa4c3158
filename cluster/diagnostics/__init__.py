"""The checks of `parley doctor`: whether `parley up` can run on this machine. They start nothing and write nothing.

`all_checks.run_checks` runs all of them and returns their findings. Each `*_checks` module has the checks of one subject:
the machine, the stores, the engines.

Other folders import the modules, because the engines' checks import slowly. `serve.deploy` checks model servers, and
`storage.readiness` the stores.
"""

__all__ = [
    "all_checks",
    "engine_checks",
    "findings",
    "machine_checks",
    "store_checks",
]
