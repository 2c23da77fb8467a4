"""The training loop. It knows networks and solvers; it knows neither scikit-learn nor MLflow."""
