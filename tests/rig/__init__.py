"""What tests do to a queue's world: real processes, servers, networks and disks, and their faults.

`waiting` waits with a deadline; `processes` starts workers and speaks with them, `fleet` has those
of one installation; `server` runs a PostgreSQL server that can be stopped, killed and started
again; `proxy` stands before one and cuts, delays or loses what passes; `pooler` is a real
pgbouncer; `disk` is a small one; `crowd` does everything at once. `audit` is the account that the
database itself keeps of every job, `history` the one that the jobs write, and `checker` holds both
against what was promised.
"""
