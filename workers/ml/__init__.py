"""Pure machine learning: torch, open_clip, scikit-learn, Pillow and numpy; no database, no queue, no app."""
