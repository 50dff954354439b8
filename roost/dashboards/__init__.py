"""The Grafana dashboards of `manifests/dashboards/`, as code: `python -m roost.dashboards` writes them.

*Fleet* and *pipeline* ask Prometheus; *one customer* asks the ledger in PostgreSQL, since no metric has a customer as a
label.
"""
