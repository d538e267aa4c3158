"""Conversations about meetings: questions, and answers whose claims name sentences.

`chat_queries` has the statements of the API, and `due_questions` those of the job that answers. `operators.chat` builds the
requests to the model, and checks the answers.
"""

__all__ = [
    "chat_queries",
    "chat_records",
    "due_questions",
]
