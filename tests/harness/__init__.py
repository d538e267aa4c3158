"""Shared parts of the tests: fixtures, processes, test doubles, data. It holds no tests and imports none.

- `processes`: real programs that a test starts. `doubles`: stand-ins for third-party servers and models.
- `api`: the HTTP API in the test's process, and its clients. `lane`: lanes and their parts in the test's process.
- `data`: recordings, texts and hostile values. `xdist_scheduling`: which tests share a process.
"""
