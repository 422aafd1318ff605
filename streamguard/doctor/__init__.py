"""Whether a worker would run well here, found out before it runs: `streamguard doctor`.

`facts` are what was seen; `gathering` sees it, with a limit on every wait; `checks` are pure functions from the
configuration and facts to findings; `codes` names every finding there is; `running` puts these together, and `showing`
prints them.
"""
