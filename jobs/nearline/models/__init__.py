"""The two language models, in torch; they know nothing of databases, Spark or MLflow."""
