"""The domain model and the pure stream logic: no clock, no I/O; time is data.

`entries` has the log's entries. The operators are `dedup`, `sentences`, `context_window`, `note_buffer` and `ticks`. Here are
also the requests to translation, insight and embedding engines, and the engines' configuration. `token_estimate` estimates a
text's tokens, and `token_quota` limits them. `insights` has the templates and the evidence of insights, and `chat` the questions
about meetings. `webhooks` has outbound webhooks as data, and `errors` the errors of the whole project. `subtitles` and
`transcripts` read files. `sources` reads messages of other services, and `word_lists` reads words by language.
`sentence_corrections` has the text of sentences that users corrected, and `address_check` says to which addresses Parley
connects for users of its API.

Stored state belongs to `flows.lane`, SQL and Redis to `storage`, prompts and engines to `serve`.
"""

__all__ = [
    "address_check",
    "caption_display",
    "characters",
    "chat",
    "context_window",
    "dedup",
    "drafts",
    "embeddings",
    "engine_config",
    "entries",
    "errors",
    "fields",
    "glossary",
    "glossary_csv",
    "insight_requests",
    "insights",
    "language_names",
    "meeting_config",
    "note_buffer",
    "note_requests",
    "sentence_corrections",
    "sentences",
    "sources",
    "speaker_keys",
    "speaker_numbering",
    "stream",
    "subtitles",
    "team_glossary",
    "term_matching",
    "text_search",
    "ticks",
    "token_estimate",
    "token_quota",
    "transcripts",
    "translation_requests",
    "webhooks",
    "word_lists",
]
