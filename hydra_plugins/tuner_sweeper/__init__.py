"""The sweeper ``tuner`` for Hydra's apps: ``python app.py -m hydra/sweeper=tuner 'lr=interval(0.1, 1)'``."""
