"""The domain model and the pure stream logic: no clock, no I/O; time is data.

Here are the log's entries, the operators (`dedup`, `sentences`, `context_window`, `ticks`), requests to translation and
insight engines, the engines' configuration, outbound webhooks as data (`webhooks`), and the errors of the whole project.
`subtitles` and `transcripts` read files; `sources` reads messages of other services; `word_lists` reads words by language.
`address_check` says to which addresses Parley connects for users of its API.

Stored state belongs to `flows.lane`, SQL and Redis to `storage`, prompts and engines to `serve`.
"""

__all__ = [
    "address_check",
    "characters",
    "context_window",
    "dedup",
    "drafts",
    "engine_config",
    "entries",
    "errors",
    "fields",
    "insight_requests",
    "meeting_config",
    "sentences",
    "sources",
    "speaker_keys",
    "stream",
    "subtitles",
    "term_matching",
    "ticks",
    "transcripts",
    "translation_requests",
    "webhooks",
    "word_lists",
]
