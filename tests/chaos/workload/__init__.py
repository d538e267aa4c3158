"""Meetings and their clients: recorded or synthetic speech, a client that sends and retries, subscribers."""
