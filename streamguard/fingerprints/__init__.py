"""What a serving process says of its environment: `streamguard.fingerprint`.

Read `api` for the call, `facts` and its neighbours for what is sent, `secrets` for what never is, and `publisher` for
when. Named in the plural, since `streamguard.fingerprint` is the function.
"""
