"""What DAGs and Airflow's UI share: assets, task factories, the plugin page.

Named in plugins/.airflowignore, because Airflow would import every file here a second time under its bare name.
"""
