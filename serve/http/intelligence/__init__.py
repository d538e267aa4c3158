"""Routes of what a language model says about a meeting: notes, insights, their templates, and answers to questions.

Each module is private to this folder. `ROUTERS` lists what the application includes. A route stores a request,
and the maintenance actor calls the model (`flows.jobs`).
"""

from serve.http.intelligence.routers import ROUTERS

__all__ = ["ROUTERS"]
