"""Quality of recommendations beside peers, on real behaviour: `run_quality.py` is the command."""
