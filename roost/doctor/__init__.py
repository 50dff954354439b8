"""`roost doctor`: is everything that this process needs there, as it should be, and safe?

Each check asks one dependency through its port and answers with findings; a dependency that is away is a finding, not
an error. Nothing is changed, unless a probe is asked for.
"""
