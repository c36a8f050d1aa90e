"""The Prefect flows: edges between tables. `pipeline.py` is the whole, each `x_to_y.py` one stage."""
