"""Routes of what a language model says about a meeting: notes, insights, their templates, and answers to questions.

`ROUTERS` lists what the application includes. A route stores a request, and the maintenance actor calls the model
(`flows.jobs`). The other names are for the MCP endpoint, which lists notes and insights and asks questions as the routes do.
"""

from serve.http.intelligence.chat_routes import AskRequest
from serve.http.intelligence.insight_routes import InsightPage, list_insights
from serve.http.intelligence.note_routes import NoteList, list_notes
from serve.http.intelligence.questions import ask_in_new_conversation, await_answer, read_answer
from serve.http.intelligence.routers import ROUTERS
from serve.http.intelligence.waiting import MAX_WAIT_S

__all__ = [
    "MAX_WAIT_S",
    "ROUTERS",
    "AskRequest",
    "InsightPage",
    "NoteList",
    "ask_in_new_conversation",
    "await_answer",
    "list_insights",
    "list_notes",
    "read_answer",
]
