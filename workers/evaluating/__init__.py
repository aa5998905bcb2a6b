"""How models are evaluated: features, tasks, metrics, statistics. Pure: no database, no queue, no app but two rules."""
