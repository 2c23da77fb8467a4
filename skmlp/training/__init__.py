"""The training loop. It knows networks and solvers, but neither scikit-learn nor MLflow."""
