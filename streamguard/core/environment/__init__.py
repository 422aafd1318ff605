"""What serving instances say of themselves, and what of it is not as it should be: pure, like all of the core.

Read `change` for what a judge tells, `fleet` and `endpoints` for the judges of fingerprints and of probes, and `task`
for what makes alerts of it.
"""
