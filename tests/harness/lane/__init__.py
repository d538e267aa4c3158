"""Lanes and their parts in the test's own process: a lane in a thread, and a fake lane that writes given rows.

`operator_runs` folds the operators over items; `call_runner` drives the asynchronous calls; `counting_step` is a step with old
schemas. Lanes in processes that are killed belong to `tests.chaos.systems`.
"""
