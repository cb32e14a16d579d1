"""Real services and a real PostgreSQL under a virtual clock; agents misbehave, workers are killed.

One seed is one story (``story.py``): a small market is set up, and random steps are taken on it. After every step that
wrote anything, what is in the database is held against what should be: who runs (``oracle.py``), what is charged
(``books.py``), what became of everybody (``history.py``). At the end the world calms down (``calm.py``) and must come
to rest where nobody waits for anything that could be. A seed tells the same story every time.
"""
