"""The tests of Parley, by what they need.

`unit` starts nothing; `integration` uses real stores, Ray or models; `system` runs `parley` as its users do; `chaos` injects
faults. Each mirrors the packages. `harness` holds what tests share, `cases` holds texts.
"""
