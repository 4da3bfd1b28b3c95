"""Several models of one shape trained as one, each as if it were alone. Needs torch only, no Ray."""
