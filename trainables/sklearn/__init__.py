"""``Estimator``: estimators and pipelines of scikit-learn, and of its kind, as trainables."""
