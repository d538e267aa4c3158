"""Real programs that a test starts: stores, Ray, vLLM, `parley up`, the `parley` command.

Their fixtures are plugins: a test module names them in `pytest_plugins`.
"""
