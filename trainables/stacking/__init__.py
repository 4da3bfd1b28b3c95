"""Train several models of one shape as one, each as if alone. Needs torch, but no Ray."""
