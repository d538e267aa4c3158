"""Transactions that store a batch's results: a lane's, with the resulting states, and the backfill's.

`batch_changes` describes what a batch did. `lane_commit` writes it and returns the events to publish. `caption_updates` and
`pending_captions` hold the captions' statements. `refused_content` bisects a batch until only unstorable content is left out.

`flows` decides which results there are. The functions block, and run in the caller's transaction.
"""

__all__ = [
    "batch_changes",
    "caption_updates",
    "lane_commit",
    "pending_captions",
    "refused_content",
]
