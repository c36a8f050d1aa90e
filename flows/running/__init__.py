"""What a run needs and is no edge: clusters, reports, waiting, approval, review, credentials, serving."""
