"""Stand-ins for the services that send transcripts to Parley, on good and on bad days.

`transcript_server` is the common part of the WebSocket services, `transcript_servers` has one server for each. They check the
key and the handshake, and send the conversation as the sound arrives. `webhook_senders` are the services that send webhooks.
`forwarder_programs` runs the forwarders of `examples/` against them.

Fireflies has a stand-in of its own, `parley fireflies-sim`.
"""
