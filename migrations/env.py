"""Alembic's environment for mkube's database: the migrations run in the transaction of the connection given."""

from alembic import context

from minikube_py.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
