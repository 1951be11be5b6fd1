"""Benchmarks: cnncore beside its peers, in one run, on one machine; `python -m bench` lists them."""
