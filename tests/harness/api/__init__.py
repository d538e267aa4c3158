"""The HTTP API in the test's own process, and its clients: HTTP, WebSocket, a browser, a reader of `/metrics`.

`server_thread` runs an application; `openapi_conformance` compares each answer with the API's description.
"""
