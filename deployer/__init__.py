"""The deployer: brings each staged artifact to every replica, or says why not.

`domain` decides and never acts. `checks` measure a candidate. `rollout` takes one rollout one step further; `promotion`
writes desired states and watches nodes; `restart` is the fallback. `console` shows all of it.
`wiring` opens the adapters, `loops` are what runs over them, `main` is the process.
"""
