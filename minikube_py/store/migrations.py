"""Brings a database to this program's schema: nothing to do, a new file, or Alembic after a backup."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from minikube_py.store.backup import back_up
from minikube_py.store.protocol import StoreError
from minikube_py.store.tables import METADATA, SCHEMA_VERSION


def ensure_schema(engine: Engine, path: Path) -> None:
    """Raises StoreError when the file was written by a newer mkube. Alembic is loaded only when it has work."""
    with engine.begin() as connection:
        version = _current_version(connection)
        if version is None:
            _create(connection)
            return
    if version == SCHEMA_VERSION:
        return
    if version not in known_versions():
        raise StoreError(
            f"the database {path} has schema {version}, which a newer mkube wrote; this one knows {SCHEMA_VERSION}: "
            "upgrade mkube, or choose another --data-dir"
        )
    back_up(path, f"before-{SCHEMA_VERSION}")
    with engine.begin() as connection:
        migrate(connection)


def _current_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if version is None else str(version)


def _create(connection: Connection) -> None:
    """A new file gets the newest schema at once, and is stamped so (a test holds it against the migrations)."""
    METADATA.create_all(connection)
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    )
    connection.exec_driver_sql("DELETE FROM alembic_version")
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA_VERSION,))


def migrations_dir() -> Path:
    """Where Alembic's scripts are: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def known_versions() -> set[str]:
    """The schema versions this program can start from: its migrations' file names begin with them."""
    return {path.name.partition("_")[0] for path in (migrations_dir() / "versions").glob("[0-9]*.py")}


def migrate(connection: Connection) -> None:
    """Run Alembic up to the newest revision, in the caller's transaction: it happens whole or not at all."""
    from alembic import command  # noqa: PLC0415 (loaded only for a migration)
    from alembic.config import Config  # noqa: PLC0415 (loaded only for a migration)

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
