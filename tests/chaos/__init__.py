"""Scenarios that inject faults into a small Parley. Each ends with a row in a table.

- `workload`: meetings and the clients that send and follow them. `faults`: what breaks.
- `systems`: the small Parleys. `results`: the stored rows, and the table. `assertions`: what must hold at the end.

`make chaos` runs them at full length and writes chaos.json.
"""
