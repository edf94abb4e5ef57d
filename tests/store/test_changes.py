from models.store.engine import Changes, Database
from models.store.tables import datasets, now


def test_a_write_is_noticed_once(database: Database) -> None:
    changes = Changes(database)
    changes.noticed()
    assert not changes.noticed()
    with database.read() as connection:
        connection.execute(datasets.select()).all()
    with database.write():
        pass
    assert not changes.noticed()
    with database.write() as connection:
        connection.execute(datasets.insert().values(id="1", rows=1, columns=[], created=now()))
    assert changes.noticed()
    assert not changes.noticed()
    changes.close()
