"""How fast streamguard is on this machine: whole processes over records that are the same everywhere.

Read `scenarios` for what is measured, `records` for the data, `places` for where they lie, `jobs` for what is
started and `launcher` for how it is measured; `live` measures how soon alerts come, `report` says it all.
"""
