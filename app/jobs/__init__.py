"""Runs that outlive the page: a folder, a worker process and a place in a queue for each."""
