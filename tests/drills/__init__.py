"""
Fault drills: what is done to a depot here happens to depots anyway.

Four drills, each seeded, each ending with status 1 if a promise was broken:

C{kill}
    A server under mixed load is killed with SIGKILL at random moments and started again; then
    everything that it has acknowledged is looked for, and everything that it lists is fetched.
C{flip}
    One bit of an upload or download is flipped on the way. What is reported as a success is fetched
    again, over a clean connection, and compared.
C{net}
    Connections are cut, reset, stalled, half-opened, split and delayed, while a client that tries
    again moves files in both directions.
C{power}
    A server under load is traced with strace. Then the power is cut at random moments: a disk keeps
    what was synced and any part of the rest, a store is started on that, and compared with what was
    acknowledged by then.

Run them from the top of the source tree::

    python -m tests.drills kill --rounds 300 --seed 1
    python -m tests.drills flip --transfers 2000
    python -m tests.drills net --transfers 500
    python -m tests.drills power --cuts 100

C{flip} and C{net} start a server of their own, or use yours with C{--depot HOST:PORT}: then all
names begin with C{drill-}, and are deleted at the end. C{kill} and C{power} must start and end the
server themselves; C{--directory} says on which file system its storage is to be. Never give it a
directory that holds anything else: it has to be empty.

The seed decides what is sent and what goes wrong. What that meets depends on the moment, so a
second run is alike, not the same. docs/reliability.md has the figures of long runs.
"""
